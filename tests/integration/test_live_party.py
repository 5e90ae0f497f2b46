"""A live party without files, fed month by month by replays, on both brokers: the same as from files at once."""

import asyncio
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from streams import topics
from streams.broker import Consumer, Producer
from streams.flow import Counts, Pulse
from streams.pipeline import PartyPipeline
from streams.pseudonym import Pseudonyms
from streams.published import published
from streams.replay import replay, span_of
from streams.sources.agreed import open_sources
from tests.support.pipelines import config, quick_cohort, quick_terms, run_three_parties

ZONE = ZoneInfo("Europe/Amsterdam")
PERIODS = (None, datetime(2024, 1, 20, tzinfo=ZONE), datetime(2024, 2, 20, tzinfo=ZONE), None)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return quick_cohort(tmp_path_factory.mktemp("cohort"))


async def feed(settings, start, stop):
    """One replay; its counts."""
    draft, counts = settings.terms.draft, Counts()
    names = Pseudonyms(settings.link_secret, settings.pseudonym_key)
    files, partitions = open_sources(draft, settings.party, settings.data, names), range(draft.shards)
    async with (
        Consumer(settings.broker, topics.source(settings.party), partitions) as tail,
        Producer(settings.broker) as producer,
    ):
        await replay(
            files, settings.party, span_of(files, start, stop), [s.name for s in draft.party(settings.party).sources],
            await published(tail, partitions), names, producer,
            X25519PrivateKey.from_private_bytes(settings.rejects_key).public_key(), counts, lambda *_: None, Pulse(60),
        )
    return counts


async def test_a_party_that_follows_its_source_topic_seals_the_same(broker, cohort, tmp_path):
    async def run(party, settings):
        sealed = asyncio.Event()
        live = PartyPipeline(
            config(broker, quick_terms(), party, None, stall_seconds=0.01),
            lambda phase, done, total: sealed.set() if phase == "panes" and done else None,
        )
        following, fed = asyncio.create_task(live.run()), []
        for start, stop in pairwise(PERIODS):
            fed.append(await feed(settings, start, stop))
            if party == "hospital" and start is not None and stop is not None:
                # It follows as it is fed: panes are sealed before the rest is there.
                await asyncio.wait_for(sealed.wait(), 30)
                assert not following.done()
        counts = await asyncio.wait_for(following, 60)
        summary = counts.summary()
        # Lines that a replay refuses never reach the source topic.
        for counted in fed:
            summary["read"] += counted.rejected.total()
            for reason, number in counted.rejected.items():
                summary["rejected"][str(reason)] = summary["rejected"].get(str(reason), 0) + number
        summary["rejected"] = dict(sorted(summary["rejected"].items()))
        assert summary["read"] == sum(counted.read for counted in fed)
        return summary

    await run_three_parties(broker, cohort, tmp_path, None, run=run)
