"""A party's pipeline as a process that can be killed: says every phase as a JSON line, and its counts last.

`python -m tests.support.party_process PARTY DATA STATE ADDRESS [USER PASSWORD AUTHORITY]`. Batches are small and every
record of the log is followed by a checkpoint, so that there is much to be interrupted.
"""

import asyncio
import json
import sys
from pathlib import Path

from streams import rekey, replay, snapshots
from streams.pipeline import PartyPipeline
from tests.support.brokers import broker_from
from tests.support.pipelines import party_config, quick_terms


def say(*words):
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


async def main(party, data, state, *broker):
    replay.POLL_RECORDS, rekey.STRETCH_RECORDS, snapshots.LOG_RECORDS = 150, 300, 2
    config = party_config(
        broker_from(*broker), quick_terms(), party, Path(data), state=None if state == "none" else Path(state),
        checkpoint_seconds=0.0,
    )
    counts = await PartyPipeline(config, say).run()
    say("counts", counts.summary())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
