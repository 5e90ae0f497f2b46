"""Files of evidence as tests read and forge them."""

import json

from evaluation.evidence import Ended, hash_of, line_of
from evaluation.journal import FILE, EntryReader, lines_of
from tests.support.asking import Asking
from tests.support.runs import CHAIN


def entries_of(folder, terms, number=None):
    """Every entry of a node's folder, each checked as it is read."""
    reader = EntryReader(terms, CHAIN.agreement_id, str(folder / FILE), number)
    return [reader.read(line) for line, _ in lines_of(folder / FILE)]


def runs_of(folder, terms, number=None):
    return [e for e in entries_of(folder, terms, number) if isinstance(e, Ended)]


def rewrite(folder, change):
    """Put `change(lines)` in the place of a file's lines, each without its end."""
    path = folder / FILE
    path.write_bytes(b"".join(line + b"\n" for line in change(path.read_bytes().splitlines())))


def set_head(folder, entry):
    """Have the ledger beside a file name this entry as the last one."""
    path = folder / "ledger.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "evidence": hash_of(line_of(entry)) if entry else ""}))


def leaves(value, path=()):
    """Paths of all values in a JSON document that hold no others; empty lists and objects are values."""
    if isinstance(value, dict) and value:
        for key, held in value.items():
            yield from leaves(held, (*path, key))
    elif isinstance(value, list) and value:
        for place, held in enumerate(value):
            yield from leaves(held, (*path, place))
    else:
        yield path


def changed(value, path):
    """A copy in which the value at a path is another one of its kind."""
    if path:
        copy = dict(value) if isinstance(value, dict) else list(value)
        copy[path[0]] = changed(value[path[0]], path[1:])
        return copy
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        first = value[:1]
        return ("1" if first == "0" else "0" if first.isdigit() else "b" if first == "a" else "a") + value[1:]
    return {None: "aa", (): [1]}.get(value if value is None else tuple(value), "aa")


async def some_of_each():
    """Three nodes: runs on schedule and on demand, an answer from before, a refused request, a run that is cut off."""
    asking = Asking(requesters=2, most_windows=2)
    nodes = asking.nodes
    await nodes.work_on()
    for demand in (asking.demand(0, 4), asking.demand(0, 4, requester="analyst-1"), asking.demand(5, 9)):
        asking.ask(demand)
        await asking.all_hear()
        await nodes.work_on()
    asking.ask(asking.demand(1, 4))
    await asking.all_hear()
    honest = nodes.chain.wait_authorised

    async def never(agreement, runs):
        raise OSError("the endpoint is gone")

    nodes.chain.wait_authorised = never
    await nodes.work(stall_seconds=1.0)
    nodes.chain.wait_authorised = honest
    await nodes.work_on()
    return asking
