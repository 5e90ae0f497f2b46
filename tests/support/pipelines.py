"""Parties' whole pipelines over a broker, and what three nodes then have."""

import asyncio
import hashlib
import hmac
import tomllib

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from console.cohort import Shape, generate
from policy.agreement import load_draft
from streams.access import node_user, party_user
from streams.broker import Consumer
from streams.inbox import Inbox
from streams.pipeline import PartyConfig, PartyPipeline
from streams.store import ShareStore
from tests.support.brokers import AGREEMENTS
from tests.support.oracle import _measures
from tests.support.oracle_files import Reader
from tests.support.parties import (
    BATCH_KEY,
    LINK_SECRET,
    NODE_KEYS,
    PSEUDONYM_KEY,
    REJECTS_KEY,
    SHARING_KEY,
    keyed_terms,
)

AGREEMENT = AGREEMENTS / "quick.toml"
PARTIES = ("hospital", "insurer", "statistics")


def quick_cohort(folder):
    """Files of 300 patients, some of them bad."""
    generate(folder, shape=Shape(patients=300, weeks=12, seed=5, enrolled=0.5, uptake_weeks=2.0), dirt=2)
    return folder


def quick_terms(**changes):
    draft = load_draft(AGREEMENT)
    kpis = ["gp-visit-rate-ratio"]
    return keyed_terms(**draft.model_dump(mode="json", exclude_none=True) | {
        "kpis": kpis, "recipients": [{"name": "innovation-team", "kpis": kpis}], **changes,
    })


def config(broker, terms, party, data, **changes):
    """A party's configuration on a broker that is served (tests.support.brokers)."""
    return party_config(broker.of(party_user(party)), terms, party, data, **changes)


def party_config(broker, terms, party, data, **changes):
    return PartyConfig(**{
        "broker": broker, "terms": terms, "party": party, "data": data, "link_secret": LINK_SECRET,
        "pseudonym_key": hashlib.sha256(PSEUDONYM_KEY + party.encode()).digest(), "sharing_key": SHARING_KEY,
        "batch_key": BATCH_KEY, "rejects_key": REJECTS_KEY, "stall_seconds": 20.0, **changes,
    })


async def receive(broker, terms, folder):
    """What three nodes have in store when every party is done."""
    stores = []
    for node, secret in enumerate(NODE_KEYS):
        store = ShareStore(folder / f"node-{node}", terms, node)
        key = X25519PrivateKey.from_private_bytes(secret)
        async with asyncio.timeout(30), Inbox(broker.of(node_user(node)), terms, node, key) as inbox:
            async for batches in inbox:
                store.add(batches)
                if store.received >= store.expected:
                    break
        assert inbox.refused == 0
        stores.append(store)
    return stores


def link_key(person):
    digest = hmac.new(LINK_SECRET, b"winnow-link" + person.encode(), hashlib.sha256).digest()[:16]
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def opened(parts, join):
    """The values of three nodes' (2, …) parts, after checking that both holders have the same."""
    for node in range(3):
        np.testing.assert_array_equal(parts[node][1], parts[(node + 1) % 3][0])
    return join(join(parts[0][0], parts[1][0]), parts[2][0])


async def records(broker, topic, partitions):
    async with Consumer(broker.of(), topic, range(partitions)) as consumer:
        found, empty = [], 0
        while empty < 3:
            polled = await consumer.poll(0.2, 5000)
            found += polled
            empty = 0 if polled else empty + 1
        return found


async def run_three_parties(broker, cohort, folder, hear, *, prepared=False, run=None):
    """Files in, shares at three nodes out, checked against the oracle.

    `run` does one party's work otherwise: (party, its configuration) → the summary of its counts.
    """
    terms = quick_terms()
    if not prepared:
        await broker.prepare(terms.draft)
    agreement = tomllib.loads(AGREEMENT.read_text())
    books = {p: Reader(agreement, p, cohort / p).read() for p in PARTIES}
    for party in PARTIES:
        settings = config(broker, terms, party, cohort / party)
        counts = await (PartyPipeline(settings, hear).run() if run is None else run(party, settings))
        summary = counts if isinstance(counts, dict) else counts.summary()
        assert summary == {
            "read": books[party].read, "accepted": books[party].accepted,
            "rejected": dict(sorted(books[party].rejected.items())), "late_pending": summary["late_pending"],
            "late_after_maturity": 0,
        }
        assert summary["accepted"] + sum(summary["rejected"].values()) == summary["read"]
    stores = await receive(broker, terms, folder)

    assert all(s.registers_complete and s.complete_panes == 12 and not s.incidents for s in stores)
    edges = Reader(agreement, "hospital", cohort / "hospital").grid.edges
    closing = Reader(agreement, "hospital", cohort / "hospital").grid.midnight(terms.draft.linkage.date)
    for party in PARTIES:
        people = sorted(p for p, at in books[party].known.items() if at.timestamp() < closing)
        measures = [m for m in agreement["measures"] if m["party"] == party]
        expected = _measures(measures, books, people, edges)
        rows = {link_key(p)[0]: (i, link_key(p)[1] % terms.draft.shards) for i, p in enumerate(people)}
        found = 0
        for shard in range(terms.draft.shards):
            slots = opened([s.register(party, shard) for s in stores], np.bitwise_xor).tolist()
            used = {slot: rows[key][0] for slot, key in enumerate(slots) if key in rows}
            assert len(set(slots)) == len(slots) and len(slots) % 128 == 0
            assert all(rows[slots[slot]][1] == shard for slot in used)
            found += len(used)
            for measure in measures:
                name = measure["name"]
                columns = [f"{name}.high", f"{name}.low"] if measure["aggregation"] == "sum" else [name]
                parts = [s.panes(party, shard, range(12), columns) for s in stores]
                limbs = opened(parts, np.add).view(np.int64)
                values = limbs[:, 0] * 2**13 + limbs[:, 1] if len(columns) == 2 else limbs[:, 0]
                want = np.zeros_like(values)
                for slot, person in used.items():
                    want[:, slot] = expected[name][person]
                np.testing.assert_array_equal(values, want, err_msg=name)
        assert found == len(people)
