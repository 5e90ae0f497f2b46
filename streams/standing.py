"""How a running pipeline stands, for the party's operator."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from policy.agreement import Party
from streams.broker import Consumer
from streams.columns import Header
from streams.figures import PartitionStand, ShardStand, partition_stand, shard_stand
from streams.shard import Shard


async def standing(
    party: Party, headers: Mapping[int, Header], shards: Sequence[Shard], source: Consumer, log: Consumer,
    gone: Counter[int], differing: Counter[int],
) -> tuple[tuple[PartitionStand, ...], tuple[ShardStand, ...]]:
    """Every source partition and every shard.

    Args:
        party: as agreed.
        headers: source partition → how far it is re-keyed.
        shards: all, in order; they may be folding meanwhile.
        source: consumer of the source topic.
        log: consumer of the sharded topic.
        gone: shard → batches and lists that nodes miss and that are not on the panes topic any more.
        differing: shard → lists of rows to be erased of which nodes have different contents.

    Raises:
        BrokerError: the broker does not say where a partition ends.
    """
    # Ends first: what is read of a part after them is of one moment, with nothing awaited in between.
    read, logged = await asyncio.gather(source.ends(sorted(headers)), log.ends(range(len(shards))))
    partitions = [
        partition_stand(
            number, max(header.next, end), header.next, header.marks, party.sources,
            sum(header.refused.values()) + sum(shard.refused_of[number] for shard in shards),
        )
        for end, (number, header) in zip(read.values(), sorted(headers.items()), strict=True)
    ]
    # A shard folds in a thread: its position is read once.
    folds = [shard.position for shard in shards]
    folded = [
        shard_stand(
            number, max(position, end), position, shard.panes.watermark, shard.panes.sealed, shard.panes.late_pending,
            shard.panes.late_after_maturity, gone[number], shard.panes.withdrawn.waiting, differing[number],
            shard.foreign, shard.panes.joining,
        )
        for number, (shard, position, end) in enumerate(zip(shards, folds, logged.values(), strict=True))
    ]
    return tuple(partitions), tuple(folded)
