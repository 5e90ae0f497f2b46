"""Somebody changes what a node noted of its runs, or puts an older file in its place: all three nodes stop, and say why."""

import re
import shutil

import pytest

from evaluation.desk import Apart
from evaluation.evidence import BEGIN, Ended, following, hash_of, line_of, signed
from evaluation.journal import FILE
from tests.attacks.test_resume import is_right, until_idle
from tests.support.evidence import entries_of, rewrite, set_head
from tests.support.runs import RECORD_KEYS, ThreeNodes

FOUND = r"same-evidence: found node 0 \w+ over \d runs, node 1 .*, required equal heads .* Next: run `winnow audit"


def forged(node, terms, change):
    """Entries after `change`, made to fit and signed anew: by somebody who has the node's key and all of its folder."""
    previous = same = BEGIN
    lines = []
    for number, told in enumerate(change(entries_of(node.folder, terms))):
        fields = {"number": number, "previous": previous}
        if isinstance(told, Ended):
            same = fields["same"] = following(same, told.common)
        entry = signed(told.model_copy(update=fields), RECORD_KEYS[node.number])
        lines.append(line_of(entry))
        previous = hash_of(lines[-1])
    rewrite(node.folder, lambda _: lines)
    set_head(node.folder, entry)


def with_common(**changes):
    """The last run, with other things said of it."""
    return lambda entries: [
        *entries[:-1], entries[-1].model_copy(update={"common": entries[-1].common.model_copy(update=changes)}),
    ]


@pytest.mark.parametrize("change", [
    lambda entries: entries[:-1], lambda entries: entries[1:], lambda entries: [*entries, entries[-1]],
    lambda entries: [entries[0], entries[2], entries[1], *entries[3:]], with_common(windows=(3,)),
    with_common(run="ab" * 32), with_common(kpis=("cost-difference",)), with_common(requester="analyst"),
    with_common(outcome=(("000000",), ("000000",))), with_common(root="ab" * 32), with_common(alerts=("busy",)),
], ids=["cut off", "begins later", "one too many", "reordered", "windows", "run", "KPIs", "requester", "outcome", "root", "alerts"])
async def test_a_node_whose_file_was_changed_stops_all_three_until_it_is_restored(change):
    nodes = ThreeNodes(most_windows=2)
    for _ in range(3):
        await nodes.work()
    node, sent = nodes.nodes[1], [list(each.sent) for each in nodes.nodes]
    kept = {name: (node.folder / name).read_bytes() for name in (FILE, "ledger.json")}
    forged(node, nodes.terms, change)
    node.restart()
    ended = await nodes.work(stall_seconds=1.0)
    assert all(isinstance(e, Apart) for e in ended), ended
    for error in ended:
        assert re.search(FOUND, str(error)), error
    assert [each.sent for each in nodes.nodes] == sent
    assert {entries_of(each.folder, nodes.terms)[-1].rule for each in nodes.nodes} == {"same-evidence"}
    for name, content in kept.items():
        (node.folder / name).write_bytes(content)
    node.restart()
    await until_idle(nodes)
    is_right(nodes)


async def test_an_older_file_with_the_ledger_that_belongs_to_it():
    """As after a copy was put back: the ledgers differ, too, and either is enough to stop."""
    nodes = ThreeNodes(most_windows=2)
    await nodes.work()
    await nodes.work()
    node, copy = nodes.nodes[2], nodes.nodes[2].folder.with_name("copy")
    shutil.copytree(node.folder, copy)
    await nodes.work()
    for name in (FILE, "ledger.json", "prepared.json"):
        shutil.copy(copy / name, node.folder / name)
    node.restart()
    assert all(isinstance(e, Apart) for e in await nodes.work(stall_seconds=1.0))


async def test_an_older_file_under_a_ledger_that_was_made_to_fit():
    """The ledgers agree, and so only the evidence tells."""
    nodes = ThreeNodes(most_windows=2)
    await nodes.work()
    await nodes.work()
    node = nodes.nodes[2]
    older = (node.folder / FILE).read_bytes()
    await nodes.work()
    (node.folder / FILE).write_bytes(older)
    set_head(node.folder, entries_of(node.folder, nodes.terms)[-1])
    node.restart()
    ended = await nodes.work(stall_seconds=1.0)
    assert all(isinstance(e, Apart) and "same-evidence" in str(e) for e in ended), ended
