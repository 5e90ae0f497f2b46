"""A cohort in which many patients are recorded for the first time while an evaluation runs, and what stores are to hold."""

import hashlib
import json
import tomllib
from datetime import datetime, timedelta, timezone

import numpy as np

from tests.support.oracle import _measures
from tests.support.oracle_files import Reader
from tests.support.pipelines import PARTIES, link_key, opened

CET = timezone(timedelta(hours=1))
FIRST, DAYS = datetime(2024, 1, 4, 9, tzinfo=CET), 22
"""From when on, and for how many days, there are newcomers."""


def recorded(party, person):
    """When a party first records a person, if it is a newcomer there: half of all are, each on some day."""
    draw = int.from_bytes(hashlib.sha256(f"{party} {person}".encode()).digest()[:4], "little")
    return None if draw % 2 else FIRST + timedelta(days=draw // 2 % DAYS)


def newcomers(cohort):
    """Have the parties' files say so; nothing else of them changes."""
    hospital = cohort / "hospital"
    persons = {}
    for line in _lines(hospital / "Patient.ndjson"):
        persons[f"Patient/{line['id']}"] = line["identifier"][0]["value"]
    for hour, (name, subject) in enumerate((("Patient", None), ("EpisodeOfCare", "patient"), ("Task", "for"))):
        lines = _lines(hospital / f"{name}.ndjson")
        for number, line in enumerate(lines):
            who = persons[f"Patient/{line['id']}" if subject is None else line[subject]["reference"]]
            line["meta"]["lastUpdated"] = _later(
                line["meta"]["lastUpdated"], recorded("hospital", who), 3_600 * hour + number
            )
        (hospital / f"{name}.ndjson").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    for party, name in (("insurer", "members"), ("statistics", "persons")):
        path = cohort / party / f"{name}.csv"
        head, *rows = path.read_text().splitlines()
        person, at = (head.split(",").index(column) for column in ("person", "recorded_at"))
        cells = [row.split(",") for row in rows]
        for number, row in enumerate(cells):
            row[at] = _later(row[at], recorded(party, row[person]), number)
        path.write_text("\n".join([head, *(",".join(row) for row in cells), ""]))
    return cohort


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def _later(said, at, seconds):
    """A line's time of recording; versions of one record keep their order, and what refers to a line comes after it."""
    return said if at is None or datetime.fromisoformat(said) >= at else (at + timedelta(seconds=seconds)).isoformat()


def readers(agreement, changes, cohort, shards):
    """Party → the oracle's reader, done, of an agreement (TOML) with other tables."""
    data = tomllib.loads(agreement.read_text(encoding="utf-8"))
    data = {**data, **changes, "linkage": {**data["linkage"], **changes["linkage"]}, "shards": shards}
    found = {p: Reader(data, p, cohort / p, lambda person: link_key(person)[1] % shards) for p in PARTIES}
    for reader in found.values():
        reader.read()
    return data, found


def check_stores(stores, data, found):
    """Three nodes' registers and panes are the oracle's, slot by slot and batch by batch; how many are in each batch."""
    entered = {}
    for party, reader in found.items():
        books, batches = reader.books, reader.batches.panes
        people = sorted(books.entered)
        measures = [m for m in data["measures"] if m["party"] == party]
        expected = _measures(measures, {party: books}, people, reader.grid.edges)
        rows = {link_key(p)[0]: (i, link_key(p)[1] % data["shards"], books.entered[p]) for i, p in enumerate(people)}
        seen = set()
        for shard in range(data["shards"]):
            used, start = {}, 0
            for batch, edge in enumerate(batches):
                words = opened([s.register(party, shard, batch) for s in stores], np.bitwise_xor).tolist()
                here = {start + slot: rows[word][0] for slot, word in enumerate(words) if word in rows}
                assert all(rows[words[slot - start]][1:] == (shard, edge) for slot in here)
                used |= here
                start += len(words)
                assert {s.register_slots(party, shard, batch + 1) for s in stores} == {start}
            seen |= set(used.values())
            for measure in measures:
                name = measure["name"]
                columns = [f"{name}.high", f"{name}.low"] if measure["aggregation"] == "sum" else [name]
                panes = range(len(reader.grid.edges) - 1)
                parts = [s.panes(party, shard, panes, columns, batches=len(batches)) for s in stores]
                limbs = opened(parts, np.add).view(np.int64)
                values = limbs[:, 0] * 2**13 + limbs[:, 1] if len(columns) == 2 else limbs[:, 0]
                want = np.zeros_like(values)
                for slot, person in used.items():
                    edge = books.entered[people[person]]
                    want[edge:, slot] = expected[name][person][edge:]
                np.testing.assert_array_equal(values, want, err_msg=f"{party} {shard} {name}")
        assert len(seen) == len(people)
        entered[party] = [sum(edge == at for at in books.entered.values()) for edge in batches]
    return entered
