"""Memory over a long stream: years of an insurer's claims, re-keyed and folded, under a horizon of corrections.

No broker: events are made as they are needed, and what comes out is counted and dropped, so that what stays in memory
is the state. After every fifth of the events the process's memory is read, and the size of all shards' dumps.
"""

import base64
import resource
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from benchmarks.report import case
from policy.agreement import Draft
from streams.columns import EventColumns
from streams.envelope import Heartbeat, encode
from streams.pseudonym import Pseudonyms
from streams.rejects import Reason
from streams.rekey import Rekeyer, beginning
from streams.shard import Refused, Shard
from tests.support.parties import LINK_SECRET, PSEUDONYM_KEY, REJECTS_KEY
from tests.support.terms import draft_data

PARTY, SOURCE = "insurer", "claims"
PATIENTS, SHARDS, WEEKS, HORIZON_WEEKS, MARKS = 20_000, 4, 104, 13, 5
WEEK_HOURS, LAG_HOURS, OLD_HOURS = 7 * 24, 10 * 24, 120 * 24
"""Claims are recorded up to ten days late, one of a thousand 120 days: beyond the horizon."""
CREDIT_BACK = 4_999
"""A hundredth of the lines cancel the one that was this many before."""
MIB = 1 << 20
CARE = ("gp", "dental", "medication", "outpatient", "admission")
_MIX = 2_654_435_761
_KEY = bytes(32)


class Event(NamedTuple):
    """One record of the source topic."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes


class Mark(NamedTuple):
    """Where a stream stands."""

    rows: int
    seconds: float
    """Since the mark before."""
    resident: int
    """Bytes of the process in memory."""
    peak: int
    """The most so far."""
    state: int
    """Bytes of the dumps of all shards."""


def long_draft(horizon_weeks: int | None) -> Draft:
    """Two years of weekly panes; None: nothing is ever too old."""
    panes = {"zone": "Europe/Amsterdam", "unit": "week", "start": "2024-01-01", "count": WEEKS}
    corrections = None if horizon_weeks is None else {"horizon_panes": horizon_weeks}
    return Draft.model_validate(draft_data(shards=SHARDS, panes=panes, corrections=corrections))


def events(rows: int, patients: int) -> Iterator[Event]:
    """Enrolments of all, then claims over WEEKS in the order of recording; at last the end of the source."""
    names = Pseudonyms(LINK_SECRET, PSEUDONYM_KEY)
    people = [names.patient(f"P{number:08d}") for number in range(patients)]
    start, before = datetime(2024, 1, 1, tzinfo=ZoneInfo("UTC")), max(OLD_HOURS, LAG_HOURS)
    hours = [(start + timedelta(hours=hour)).isoformat() for hour in range(-before, WEEKS * WEEK_HOURS)]
    for number in range(rows):
        credit, claim = number % 100 == 99 and number >= patients + CREDIT_BACK, number >= patients
        of = number - CREDIT_BACK if credit else number
        # Multiplying mixes: a claim and what cancels it have the same patient and cents.
        mixed, own = of * _MIX & 0xFFFFFFFF, number * _MIX & 0xFFFFFFFF
        if claim:
            recorded = (number - patients) * (WEEKS * WEEK_HOURS - 2) // (rows - patients)
            lag = OLD_HOURS if number % 1_000 == 500 else (own >> 11) % LAG_HOURS
            occurred, patient = max(0, recorded - lag) + before, people[mixed % patients]
            payload = (
                f'"kind":"claim","payload":{{"care_type":"{CARE[mixed % len(CARE)]}","product":"Z{mixed % 100:05d}",'
                f'"cents":{mixed % 20_000},"credit":{"true" if credit else "false"}}}'
            )
        else:
            recorded, occurred, patient = 1 - before, 0, people[number]
            payload = '"kind":"enrolment","payload":{"programme":"insured","stop":null}'
        corrects = f'"{_name(of)}"' if credit else "null"
        yield Event(0, number, 0, None, (
            f'{{"event_id":"{_name(number)}","patient":"{patient}","occurred_at":"{hours[occurred]}",'
            f'"recorded_at":"{hours[recorded + before]}","source":"{SOURCE}","corrects":{corrects},{payload}}}'
        ).encode())
    yield Event(0, rows, 0, None, encode(Heartbeat(source=SOURCE)))


def stream(rows: int, patients: int, horizon_weeks: int | None) -> Iterator[Mark]:
    """Re-key and fold; a mark after every fifth.

    Raises:
        RuntimeError: another event was refused than what is too old, or a pane was not sealed.
    """
    draft = long_draft(horizon_weeks)
    names = Pseudonyms(LINK_SECRET, PSEUDONYM_KEY)
    rekeyer = Rekeyer(draft, PARTY, names, X25519PrivateKey.from_private_bytes(REJECTS_KEY).public_key())
    shards = [Shard(draft, PARTY, number, bytes(32), 1) for number in range(SHARDS)]
    header, offsets, refused, done = beginning(0), [0] * SHARDS, Counter[Reason](), 0
    begun, step, source = time.perf_counter(), -(-rows // MARKS), events(rows, patients)
    while records := list(islice(source, min(rekeyer.most, step - done % step))):
        made = rekeyer.step(header, records)
        header = made.header
        refused.update(made.refused)
        for number, messages in enumerate(made.sharded):
            for message in messages:
                outcomes = shards[number].fold(offsets[number], EventColumns.from_bytes(message))
                refused.update(outcome.reason for outcome in outcomes if isinstance(outcome, Refused))
                offsets[number] += 1
        done += len(records)
        if done % step == 0 or done == rows:
            seconds, resident, peak = time.perf_counter() - begun, _resident(), _peak()
            state = sum(len(shard.dump(_KEY)) for shard in shards)
            yield Mark(done, seconds, resident, peak, state)
            begun = time.perf_counter()
    accepted, sealed = sum(shard.accepted for shard in shards), {shard.panes.sealed for shard in shards}
    if accepted + refused.total() != rows or sealed != {WEEKS} or not refused.keys() <= {Reason.TOO_OLD}:
        raise RuntimeError(f"of {rows} events {accepted} were accepted, refused {dict(refused)}; sealed {sealed}")


def measure_memory(rows: int, runs: int) -> list[dict[str, Any]]:
    """A row a mark, over the last of `runs` runs; the first ones warm up."""
    for _ in range(runs - 1):
        list(stream(rows, PATIENTS, HORIZON_WEEKS))
    return [
        case(f"re-keyed and folded, {HORIZON_WEEKS} weeks remembered", "winnow", mark.rows, [mark.seconds]) | {
            "resident_mib": round(mark.resident / MIB), "peak_mib": round(mark.peak / MIB),
            "state_mib": round(mark.state / MIB, 1),
        }
        for mark in stream(rows, PATIENTS, HORIZON_WEEKS)
    ]


def _name(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(16, "big"))[:22].decode()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
