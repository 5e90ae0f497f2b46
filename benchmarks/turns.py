"""Contenders that take turns: what else the machine does meanwhile, and how fast it is that hour, meets all alike."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from benchmarks.trio import Timing

TURNS = 3


def in_turns(contenders: Mapping[str, Callable[..., list[Timing]]], runs: int) -> dict[str, list[Timing]]:
    """Measure contenders one after another, and all of them again.

    Args:
        contenders: name → what measures the same cases each time it is called with `runs`, a number of repetitions.
        runs: repetitions in each of the `TURNS` turns: the first ones of a process are slower.

    Returns:
        By name, the timings with all repetitions.
    """
    found: dict[str, list[Timing]] = {}
    for _ in range(TURNS):
        for name, measured in contenders.items():
            timings = measured(runs=runs)
            found[name] = [*map(_together, found[name], timings)] if name in found else timings
    return found


def _together(one: Timing, other: Timing) -> Timing:
    if (one.case, one.rows) != (other.case, other.rows):
        raise ValueError(f"found {other.case} of {other.rows} rows, expected {one.case} of {one.rows} again")
    return replace(one, seconds=one.seconds + other.seconds, peak_mib=max(one.peak_mib, other.peak_mib))
