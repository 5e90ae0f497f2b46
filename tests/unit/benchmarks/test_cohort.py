"""The latency benchmark's oracle, against a patient-by-patient calculation, and its blocks against its tables."""

import asyncio
import math
from statistics import NormalDist

import numpy as np
import pytest

from benchmarks.cohort import Cohort, window_cells
from benchmarks.relay import Relay
from streams.batch import party_columns
from tests.support.terms import make_terms

TERMS = make_terms(shards=2)
COHORT = Cohort(TERMS.draft, TERMS.hash, 3_000)
Z = NormalDist().inv_cdf(0.975)


def pooled(panes):
    shards = [[COHORT.table(shard, pane) for shard in range(2)] for pane in panes]
    return [{name: np.concatenate([s[name] for s in both]) for name in both[0]} for both in shards]


def by_patient(tables, arm, column, stratum=None):
    return [
        sum(int(t[arm][i]) * int(t[column][i]) * (1 if stratum is None else int(t[stratum][i])) for t in tables)
        for i in range(3_000)
    ]


@pytest.mark.parametrize(("place", "stratum"), [(0, None), (3, "income_3")])
def test_a_rate_ratio_and_its_interval_are_those_of_the_formula(place, stratum):
    tables = pooled(range(4, 8))
    ti, yi, tc, yc = (
        by_patient(tables, arm, column, stratum)
        for arm in ("app_user", "app_not_yet") for column in ("insured_days", "gp_visits")
    )
    value = (sum(yi) / sum(ti)) / (sum(yc) / sum(tc))
    variance = sum(
        (b / sum(yi) - a / sum(ti) - d / sum(yc) + c / sum(tc)) ** 2 for a, b, c, d in zip(ti, yi, tc, yc, strict=True)
    )
    found = COHORT.expected(TERMS.plans, 4, 8)["gp-visit-rate-ratio", place]
    assert found.value == pytest.approx(value, rel=1e-12)
    assert found.low == pytest.approx(value * math.exp(-Z * math.sqrt(variance)), rel=1e-9)
    assert found.high == pytest.approx(value * math.exp(Z * math.sqrt(variance)), rel=1e-9)


def test_a_table_is_suppressed_for_a_small_stratum_and_everything_for_a_small_total():
    tables = pooled(range(4, 8))
    everything = window_cells(TERMS.plans, tables, 3)
    assert {stratum for _, stratum in everything} == set(range(6))
    few = [{**t, "income_2": t["income_2"] * 0} for t in tables]
    assert {stratum for _, stratum in window_cells(TERMS.plans, few, 3)} == {0}
    assert window_cells(TERMS.plans, tables, 3_000) == {}


@pytest.mark.parametrize("party", ["hospital", "insurer", "statistics"])
def test_blocks_hold_every_patient_once_at_the_slot_of_its_link_key(party):
    columns = party_columns(TERMS.draft, party)
    keys = {(h.shard, h.block): c[0] for h, c in COHORT.register(party)}
    others = {(h.shard, h.block): c[0] for h, c in COHORT.register("hospital")}
    for shard in range(2):
        mine = np.concatenate([keys[s, b] for s, b in sorted(keys) if s == shard])
        theirs = np.concatenate([others[s, b] for s, b in sorted(others) if s == shard])
        assert len(np.intersect1d(mine, theirs)) == (len(mine) if party == "hospital" else 1_500)
    totals = np.zeros(len(columns), np.int64)
    for _, content in COHORT.pane(party, 5):
        totals += content.view(np.int64).sum(axis=1)
    tables = [COHORT.table(shard, 5) for shard in range(2)]
    assert totals.tolist() == [sum(int(t[c].sum()) for t in tables) for c in columns]


async def test_a_relay_counts_what_clients_write_and_not_what_they_read():
    async def answer(reader, writer):
        await reader.readexactly(1_000)
        writer.write(bytes(70_000))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, Relay() as relay:
        relay.target = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(bytes(1_000))
        assert len(await reader.read(-1)) == 70_000
        writer.close()
    assert relay.passed == 1_000
