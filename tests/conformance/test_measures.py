"""A party's panes against the oracle: every column of every person and pane, and every line accounted for."""

import json
import tomllib
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from console.cohort import Shape, generate
from policy.agreement import Draft
from streams.columns import NEVER
from streams.pseudonym import Pseudonyms
from streams.rejects import Reason
from streams.sources.agreed import open_sources
from streams.sources.lines import read_events
from tests.support.checking import Checker
from tests.support.driven import DrivenPanes
from tests.support.oracle import _measures
from tests.support.oracle_files import Reader

AGREEMENTS = Path(__file__).parents[1] / "support" / "agreements"
CASES = {
    "quick": Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0, newcomers=0.03),
    "monthly": Shape(patients=900, weeks=52, seed=7, start=date(2023, 1, 1), zone="Europe/Lisbon", newcomers=0.03),
    # Claims come up to 150 days late, and two weeks are waited for.
    "late": Shape(patients=600, weeks=12, seed=8, enrolled=0.5, uptake_weeks=2.0, newcomers=0.03),
    "late, some too old": Shape(patients=600, weeks=12, seed=8, enrolled=0.5, uptake_weeks=2.0, newcomers=0.03),
    # Encounters, monitoring, answers and withdrawals, corrected within the grace and after it.
    "events": Shape(patients=400, weeks=12, seed=9, enrolled=0.5, uptake_weeks=2.0, newcomers=0.03),
    "events, some too old": Shape(patients=400, weeks=12, seed=9, enrolled=0.5, uptake_weeks=2.0, newcomers=0.03),
}
MEASURES = """
[[measures]]
name = "outpatient"
aggregation = "count"
kind = "encounter"
code = "outpatient"
bound = 20

[[measures]]
name = "contacts"
aggregation = "count"
kind = "encounter"
bound = 40

[[measures]]
name = "check_ins_due"
aggregation = "count"
kind = "monitoring"
code = "due"
module = "check-in"
bound = 20

[[measures]]
name = "completed"
aggregation = "count"
kind = "monitoring"
code = "completed"
module = "calprotectin"
bound = 20

[[measures]]
name = "missed"
aggregation = "missed"
module = "check-in"
bound = 20

[[measures]]
name = "follow_ups"
aggregation = "follow-ups"
code = "ibd-control-8"
bound = 20

[[measures]]
name = "change"
aggregation = "change"
code = "ibd-control-8"
bound = 32000

[[measures]]
name = "follow_ups_any"
aggregation = "nonzero"
of = "follow_ups"
"""


def agreement(case: str) -> dict:
    raw = tomllib.loads((AGREEMENTS / f"{'monthly' if case == 'monthly' else 'quick'}.toml").read_text(encoding="utf-8"))
    if case.endswith("too old"):
        raw["corrections"] = {"horizon_panes": 1 if case.startswith("events") else 3}
        for party in raw["parties"]:
            party.pop("grace_panes", None)
    if case.startswith("late"):
        # The oracle's watermark is the party's, which is a shard's where there is one.
        raw["shards"] = 1
        raw["parties"][1]["grace_panes"] = 2
    if case.startswith("events"):
        raw["shards"] = 1
        raw["parties"][0]["grace_panes"] = 1
        raw["parties"][0]["sources"][0]["kinds"] += ["encounter", "monitoring", "prom", "withdrawal"]
        raw["measures"] += [m | {"party": "hospital"} for m in tomllib.loads(MEASURES)["measures"]]
    return raw


def withdraw(folder: Path) -> None:
    """Every twentieth of the first 200 patients withdraws on a day of the fifth or sixth week."""
    patients = (folder / "Patient.ndjson").read_text().splitlines()[:200:20]
    numbers = [json.loads(line)["identifier"][0]["value"] for line in patients]
    lines = [
        f"w{n},{person},2024-02-{1 + n:02d},2024-02-{2 + n:02d}T12:00:00+01:00" for n, person in enumerate(numbers)
    ]
    (folder / "withdrawals.csv").write_text("\n".join(["record_id,person,withdrawn_on,recorded_at", *lines, ""]))


def streamed(draft: Draft, party: str, folder: Path) -> tuple[np.ndarray, Counter, int, int]:
    """(people, panes, columns), in no order; rejected by reason; late; read."""
    pseudonyms = Pseudonyms(bytes(32), bytes(range(32)))
    validator = Checker(draft, party, pseudonyms)
    shards = [DrivenPanes(draft, party) for _ in range(draft.shards)]
    panes: list[list[np.ndarray]] = [[] for _ in shards]
    rejected: Counter = Counter()
    read, forgotten = 0, NEVER

    def seal() -> None:
        for state, made in zip(shards, panes, strict=True):
            while state.sealed < state.sealable:
                made.append(state.seal()[1])

    for _, _, event, _ in read_events(open_sources(draft, party, folder, pseudonyms)):
        read += 1
        shard = 0 if isinstance(event, Reason) else pseudonyms.shard(event.patient, draft.shards)
        since = shards[shard].since
        outcome = event if isinstance(event, Reason) else validator.check(event, since)
        if since > forgotten:
            forgotten = since
            validator.forget(since)
            shards[0].forget(since)
        if isinstance(outcome, Reason):
            rejected[str(outcome)] += 1
        else:
            shards[shard].add(outcome)
            seal()
    for state in shards:
        for source in draft.party(party).sources:
            state.finish(source.name)
    seal()
    people = np.concatenate([np.stack(made).transpose(2, 0, 1) for made in panes])
    return people, rejected, sum(s.late_pending for s in shards), read


def rows(people: np.ndarray) -> Counter:
    """Everyone's values over all panes, without those who have none: unused slots look like them."""
    return Counter(row.tobytes() for row in people.astype(np.int64).reshape(len(people), -1) if row.any())


@pytest.mark.parametrize("case", CASES)
def test_panes_hold_what_the_oracle_says(case: str, tmp_path: Path):
    made = generate(tmp_path, shape=CASES[case], dirt=2, events=case.startswith("events"))
    raw = agreement(case)
    draft = Draft.model_validate(raw)
    if case.startswith("events"):
        withdraw(made.parties["hospital"])
    for party, folder in made.parties.items():
        reader = Reader(raw, party, folder)
        books = reader.read()
        people, rejected, late, read = streamed(draft, party, folder)
        assert (read, rejected, late) == (books.read, books.rejected, books.late)
        known = [person for person in books.known if reader.linked(person)]
        measures = [m for m in raw["measures"] if m["party"] == party]
        table = _measures(measures, {party: books}, known, reader.grid.edges)
        columns = []
        for m in measures:
            value = table[m["name"]]
            columns += [value >> 13, value & 8191] if m["aggregation"] == "sum" else [value]
        assert rows(people) == rows(np.stack(columns, axis=2))
        if (case, party) in (("late, some too old", "insurer"), ("events, some too old", "hospital")):
            assert 0.005 * read < rejected["too-old"] < 0.5 * read
        if case == "late" and party == "insurer":
            assert late > 0.2 * read
        if case == "events" and party == "hospital":
            assert 20 < late < 0.2 * read
            assert all(table[m["name"]].any() for m in measures)
            assert (table["change"] < 0).any()
            assert len(books.withdrawn) == 10
