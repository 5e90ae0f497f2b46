"""The oracle's own reading of the parties' files: which lines count, which are rejected and why, what is late.

Shares no code with Winnow. Lines are read one by one in the order of recording, with plain `csv` and `json`.

The rules, as the agreement's readers must have them:
- a line is at most 1 MiB of UTF-8; its identifier is new (a FHIR resource or a membership may come again later, and
  replaces what it said), what it refers to is known before it;
- nothing happens more than a day after it was recorded; claims are for days within the agreement's panes;
- a credit line names a claim line of the same person and amount that is not cancelled yet;
- a credit line takes the day and care type of the line it cancels;
- an event is late when its person was not known before the linkage date, or when its pane, the first that it changes,
  was sealed before it: when the watermark lay `grace_panes` beyond the pane's end. A source stands at its latest
  accepted day so far (of an enrolment, its start) less its bound; the watermark is the least of the sources'.
  Where registers grow in batches (oracle_batches), panes before the first batch that a person may enter are not theirs:
  an enrolment or an income that begins before them holds from then on; anything else that changes none of their panes is
  late. If the person enters a later batch, so is what changes none of the panes from that one on; if they enter none,
  everything of theirs is.
  What is late changes nothing, unless results wait for maturity: then only what comes when the watermark lies the
  last of the agreed days further still. The watermark here is the whole party's, not a shard's, so the number of events late
  for this reason is exact with one shard only;
- with a horizon of corrections a claim, encounter, task or answer of a pane that lies `horizon_panes` behind the
  watermark is too old, and so is what takes back or cancels one. What is too old is as if it had never been there, but
  from then on a reference to what was never there is too old, too.
Beyond this oracle are claims that lift a pane above a measure's bound.
"""

import csv
import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from tests.support.oracle_batches import FAR, Batches
from tests.support.oracle_kinds import Fact, Kinds, Rejected

MAX_LINE = 1 << 20
FOREVER = date.max
CODE = re.compile("[a-z0-9][a-z0-9-]{0,39}")
PERSON_SYSTEM = "urn:winnow:person"

@dataclass
class Grid:
    """Local days that bound the panes, worked out day by day."""

    zone: ZoneInfo
    edges: list[date]
    _midnights: dict[date, float] = field(default_factory=dict)

    @classmethod
    def of(cls, panes: dict) -> "Grid":
        edges, day = [panes["start"]], panes["start"]
        while len(edges) <= panes["count"]:
            day += timedelta(days=1)
            starts = {
                "day": True,
                "week": day.weekday() == panes["start"].weekday(),
                "month": day.day == 1,
                "year": (day.month, day.day) == (panes["start"].month, 1),
            }
            if starts[panes["unit"]]:
                edges.append(day)
        return cls(ZoneInfo(panes["zone"]), edges)

    def pane(self, day: date) -> int:
        """Pane of a day; -1 before the grid, the number of panes after it."""
        return bisect_right(self.edges, day) - 1

    def midnight(self, day: date) -> float:
        """Seconds since the epoch at which a local day starts."""
        if day not in self._midnights:
            self._midnights[day] = datetime.combine(day, time(), self.zone).timestamp()
        return self._midnights[day]


@dataclass
class Books:
    """What a party's accepted lines say. Days are local dates; an end is the first day after."""

    known: dict[str, datetime] = field(default_factory=dict)
    """Person → when the party first recorded them."""
    enrolments: dict[str, tuple[str, str, date, date]] = field(default_factory=dict)
    """Line → (programme, person, start, end); a later version replaces an earlier one."""
    claims: list[tuple[str, str, date, int, int]] = field(default_factory=list)
    """(person, care type, day, sign, cents)"""
    incomes: list[tuple[str, date, datetime, str]] = field(default_factory=list)
    """(person, valid from, recorded, quintile or "")"""
    said: dict[str, dict[str, list[Fact]]] = field(default_factory=dict)
    """Person → resource → what it says of encounters, monitoring and answers."""
    withdrawn: dict[str, int] = field(default_factory=dict)
    """Person → the first pane that was not sealed yet."""
    left: dict[str, datetime] = field(default_factory=dict)
    """Person → when that was recorded."""
    entered: dict[str, int] = field(default_factory=dict)
    """Who is in the party's register → the first pane that they are in."""
    read: int = 0
    rejected: Counter = field(default_factory=Counter)
    late: int = 0
    too_late: int = 0
    """Late even for the last maturity."""

    @property
    def accepted(self) -> int:
        return self.read - self.rejected.total()


class Reader:
    """Reads one party's folder."""

    def __init__(
        self, agreement: dict, party: str, folder: Path, shard_of: Callable[[str], int] | None = None
    ) -> None:
        spec = next(p for p in agreement["parties"] if p["name"] == party)
        self.grid = Grid.of(agreement["panes"])
        self.grace = spec.get("grace_panes", 0)
        self.horizon = agreement.get("corrections", {}).get("horizon_panes")
        self.sources = spec["sources"]
        maturities = agreement.get("maturities", {})
        if maturities.get("days") and maturities.get("release") not in {"maturity", "both"}:
            raise ValueError("this oracle knows agreements with results at maturity, or without maturities")
        self.maturity = timedelta(days=max(maturities.get("days", []), default=0))
        self.batches = Batches(agreement, self.grid, shard_of)
        self._waiting: list[tuple[str, int]] = []
        """Of what is not late yet the person and the last pane that it changes."""
        self.most_cents = max((m["bound"] for m in agreement["measures"] if m["aggregation"] == "sum"), default=2**63)
        self.books = Books()
        self.folder = folder
        self._ids: set = set()
        self._patients: dict[str, str] = {}
        self._recorded: dict[str, datetime] = {}
        self._lines: dict[str, tuple] = {}
        self._cancelled: set[str] = set()
        self._latest = {s["name"]: date.min for s in self.sources}
        self._source = {kind: s["name"] for s in self.sources for kind in s["kinds"]}
        self._watermark = date.min
        self.kinds = {kind for s in self.sources for kind in s["kinds"]}
        self._of = Kinds(self, [m for m in agreement["measures"] if m["party"] == party])

    def read(self) -> Books:
        """Everything in the folder, in the order of recording."""
        queue = []
        for order, (name, take) in enumerate((
            ("Patient.ndjson", self._patient), ("EpisodeOfCare.ndjson", self._episode), ("Task.ndjson", self._task),
            ("Encounter.ndjson", self._of.encounter), ("QuestionnaireResponse.ndjson", self._of.response),
            ("Observation.ndjson", self._of.observation), ("members.csv", self._member), ("claims.csv", self._claim),
            ("persons.csv", self._person), ("withdrawals.csv", self._of.withdrawal),
        )):
            path = self.folder / name
            if path.exists() and self._is_read(name):
                queue += [(at, order, number, row, take) for number, (at, row) in enumerate(self._rows(path))]
        for at, _, _, row, take in sorted(queue, key=lambda item: item[:3]):
            try:
                take(row, at)
            except Rejected as reason:
                self.books.rejected[str(reason)] += 1
        self.books.entered = self.batches.entered(self.books.known, self.books.left)
        self.books.late += sum(self.books.entered.get(person, FAR + 1) > last for person, last in self._waiting)
        return self.books

    def _is_read(self, name: str) -> bool:
        needed = {
            "Encounter": {"encounter"}, "QuestionnaireResponse": {"prom", "monitoring"},
            "Observation": {"prom", "monitoring"}, "withdrawals": {"withdrawal"},
        }.get(name.split(".", maxsplit=1)[0])
        return needed is None or bool(needed & self.kinds)

    def _rows(self, path: Path):
        """(recorded, row) of every well-formed line; the others are counted as rejected here."""
        lines = path.read_bytes().split(b"\n")
        header = lines.pop(0).decode().strip().split(",") if path.suffix == ".csv" else None
        for raw in lines:
            if not raw.strip():
                continue
            self.books.read += 1
            try:
                row = self._parse(raw, header)
                yield self._instant(row["recorded_at"] if header else row.get("meta", {}).get("lastUpdated")), row
            except Rejected as reason:
                self.books.rejected[str(reason)] += 1

    def _parse(self, raw: bytes, header: list[str] | None) -> dict:
        if len(raw) > MAX_LINE:
            raise Rejected("too-large")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise Rejected("not-text") from None
        if header is None:
            try:
                row = json.loads(text)
            except ValueError:
                raise Rejected("broken-json") from None
            if not isinstance(row, dict):
                raise Rejected("wrong-type")
            return row
        try:
            cells = next(csv.reader([text.rstrip("\r")], strict=True))
        except csv.Error:
            raise Rejected("broken-csv") from None
        if len(cells) != len(header):
            raise Rejected("broken-csv")
        return dict(zip(header, cells, strict=True))

    # Values.

    def _instant(self, text) -> datetime:
        self._present(text)
        try:
            at = datetime.fromisoformat(text)
        except (TypeError, ValueError):
            raise Rejected("wrong-type") from None
        return at if at.tzinfo else at.replace(tzinfo=self.grid.zone)

    def day(self, text, at: datetime) -> date:
        self._present(text)
        try:
            day = date.fromisoformat(text)
        except (TypeError, ValueError):
            raise Rejected("wrong-type") from None
        if self.grid.midnight(day) > at.timestamp() + 86_400:
            raise Rejected("in-the-future")
        return day

    @staticmethod
    def _present(*values) -> None:
        if any(value in ("", None, [], {}) for value in values):
            raise Rejected("missing-field")

    @staticmethod
    def _ordered(start: date, end: date) -> None:
        if end < start:
            raise Rejected("stop-before-start")

    @staticmethod
    def _code(value, allowed) -> str:
        if value not in allowed:
            raise Rejected("unknown-code")
        return value

    def _new(self, key) -> None:
        if key in self._ids:
            raise Rejected("duplicate-id")
        self._ids.add(key)

    def _on_time(self, kind: str, person: str, day: date, pane: int, *, holds: bool = True) -> bool:
        """Whether `pane`, the first that an event changes, was still open; then moves its source on to `day`.

        `holds`: it changes all panes from there on, too.
        """
        first = max(pane, self.first_pane(person))
        early = first > pane and not holds
        sealed, over = self.is_sealed(first), self.is_over(first) and not early
        self.count(person, sealed=sealed, over=over, early=early, last=FAR if holds else pane)
        self.move(kind, day)
        return not over and not early

    def count(self, person: str, *, sealed: bool, over: bool, early: bool, last: int) -> None:
        """An event that came when a pane that it changes was sealed, or was so for the last time; that changes none of the
        person's panes; that changes none after the `last`.
        """
        if not self.linked(person):
            self.books.late += 1
        elif self.maturity and over:
            self.books.too_late += 1
        elif sealed or over or early:
            self.books.late += 1
        else:
            self._waiting.append((person, last))

    def is_sealed(self, pane: int) -> bool:
        """Whether the watermark lies beyond the grace of a pane."""
        return self._beyond(pane, self.grace)

    def is_over(self, pane: int) -> bool:
        """Whether it lies beyond a pane's last maturity; without any, beyond its grace."""
        return self._beyond(pane, self.grace, self.maturity)

    def is_old(self, day: date) -> bool:
        """Whether the watermark lies beyond the horizon of a day's pane."""
        return self.horizon is not None and self._beyond(max(self.grid.pane(day), 0), self.horizon)

    def unknown(self) -> Rejected:
        """Why a reference to nothing known is refused."""
        return Rejected("too-old" if self.is_old(self.grid.edges[0]) else "unknown-reference")

    def _beyond(self, pane: int, panes: int, wait: timedelta = timedelta()) -> bool:
        closes = pane + 1 + panes
        return closes < len(self.grid.edges) and self._watermark >= self.grid.edges[closes] + wait

    def move(self, kind: str, day: date) -> None:
        """A source of `kind` has come to `day`."""
        name, latest = self._source[kind], self._latest
        if day > latest[name]:
            latest[name] = day
            if date.min not in latest.values():
                self._watermark = min(latest[s["name"]] - timedelta(days=s.get("bound_days", 0)) for s in self.sources)

    def linked(self, person: str) -> bool:
        """Whether the party knew the person before the linkage date, or before a later batch opens."""
        return person in self.books.known and self.batches.next(self.books.known[person]) is not None

    def first_pane(self, person: str) -> int:
        """The first pane that may be a person's; 0 of who is in no batch."""
        return self.batches.panes[self.batches.next(self.books.known[person]) or 0]

    # Files.

    def _patient(self, row: dict, at: datetime) -> None:
        self._present(row.get("id"), row.get("identifier"))
        numbers = [i.get("value") for i in row["identifier"] if i.get("system") == PERSON_SYSTEM]
        self._present(*numbers or [""])
        self._later(f"Patient/{row['id']}", at)
        self._patients[row["id"]] = numbers[0]
        self.books.known.setdefault(numbers[0], at)
        day = at.astimezone(self.grid.zone).date()
        self._on_time("enrolment", numbers[0], day, len(self.grid.edges))

    def _resource(self, row: dict, at: datetime, programme: str, code, subject, period, statuses) -> None:
        self._present(row.get("id"), code, subject, period, row.get("status"))
        for value in (code, subject, period):
            if not isinstance(value, dict):
                raise Rejected("wrong-type")
        self._code(row["status"], statuses)
        self._code(programme, [c.get("code") for c in code.get("coding", [])])
        start = self.day(period.get("start"), at)
        # A FHIR period includes its last day.
        end = self.day(period["end"], at) + timedelta(days=1) if period.get("end") else FOREVER
        self._ordered(start, end)
        self._enrol(f"{row['resourceType']}/{row['id']}", programme, self.person(subject), start, end, at)

    def person(self, subject: dict) -> str:
        """Whom a resource is about."""
        patient = str(subject.get("reference", "")).removeprefix("Patient/")
        if patient not in self._patients:
            raise Rejected("unknown-reference")
        return self._patients[patient]

    def _episode(self, row: dict, at: datetime) -> None:
        types = row.get("type") or [None]
        statuses = {"active", "onhold", "finished"}
        self._resource(row, at, "ibd-care", types[0], row.get("patient"), row.get("period"), statuses)

    def _task(self, row: dict, at: datetime) -> None:
        codes = [c.get("code") for c in row["code"]["coding"]] if isinstance(row.get("code"), dict) else []
        if "monitoring" in self.kinds and codes and "ibd-coach" not in codes:
            self._of.task(row, at)
            return
        period, statuses = row.get("executionPeriod"), {"in-progress", "completed"}
        self._resource(row, at, "ibd-coach", row.get("code"), row.get("for"), period, statuses)

    def _member(self, row: dict, at: datetime) -> None:
        self._present(row["record_id"], row["person"])
        start = self.day(row["start"], at)
        end = self.day(row["end"], at) if row["end"] else FOREVER
        self._ordered(start, end)
        self._enrol(f"members/{row['record_id']}", "insured", row["person"], start, end, at)

    def _enrol(self, key: str, programme: str, person: str, start: date, end: date, at: datetime) -> None:
        earlier = self.books.enrolments.get(key)
        if earlier is not None and earlier[:2] != (programme, person):
            raise Rejected("duplicate-id")
        self._later(key, at)
        self.books.known.setdefault(person, at)
        if earlier is None:
            changed = start
        elif earlier[2] != start:
            changed = min(earlier[2], start)
        else:
            changed = min(earlier[3], end) if earlier[3] != end else FOREVER
        if self._on_time("enrolment", person, start, self.grid.pane(changed)):
            self.books.enrolments[key] = (programme, person, start, end)

    def _later(self, key: str, at: datetime) -> None:
        """A record may come again, but later."""
        if key in self._recorded and at <= self._recorded[key]:
            raise Rejected("duplicate-id")
        self._recorded[key] = at

    def _claim(self, row: dict, at: datetime) -> None:
        key, person = row["record_id"], row["person"]
        self._present(key, person, row["care_type"], row["amount_cents"], row["debit_credit"])
        care = row["care_type"]
        if not CODE.fullmatch(care):
            raise Rejected("unknown-code")
        sign = 1 if self._code(row["debit_credit"], {"D", "C"}) == "D" else -1
        day = self.day(row["service_date"], at)
        try:
            cents = int(row["amount_cents"])
        except ValueError:
            raise Rejected("wrong-type") from None
        if cents < 0:
            raise Rejected("negative-amount")
        if cents > self.most_cents:
            raise Rejected("amount-too-large")
        if sign > 0 and not self.grid.edges[0] <= day < self.grid.edges[-1]:
            raise Rejected("outside-agreement")
        if sign > 0 and self.is_old(day):
            raise Rejected("too-old")
        if person not in self.books.known:
            raise Rejected("unknown-person")
        if key in self._lines and not self.is_old(self._lines[key][2]):
            raise Rejected("duplicate-id")
        if sign > 0:
            self._lines[key] = (person, care, day, cents)
            self._cancelled.discard(key)
        else:
            care, day = self._cancel(row["previous_record_id"], person, cents)
            self._lines[key] = (None, care, day, cents)
        if self._on_time("claim", person, day, self.grid.pane(day), holds=False):
            self.books.claims.append((person, care, day, sign, cents))

    def _cancel(self, previous: str, person: str, cents: int) -> tuple[str, date]:
        """Care type and day of the line that a credit line cancels."""
        self._present(previous)
        line = self._lines.get(previous)
        if line is None or self.is_old(line[2]):
            raise self.unknown()
        if line[0] is None:
            raise Rejected("unknown-reference")
        if (line[0], line[3]) != (person, cents):
            raise Rejected("credit-mismatch")
        if previous in self._cancelled:
            raise Rejected("already-cancelled")
        self._cancelled.add(previous)
        return line[1], line[2]

    def _person(self, row: dict, at: datetime) -> None:
        self._present(row["record_id"], row["person"])
        valid = self.day(row["valid_from"], at)
        self._code(row["income_quintile"], {"", "1", "2", "3", "4", "5"})
        self._new(row["record_id"])
        self.books.known.setdefault(row["person"], at)
        if self._on_time("social", row["person"], valid, bisect_left(self.grid.edges, valid)):
            self.books.incomes.append((row["person"], valid, at, row["income_quintile"]))
