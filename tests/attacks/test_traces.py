"""Two cohorts of which nobody may learn the difference, seen by somebody who watches everything that is not sealed."""

from collections import Counter

import numpy as np
import pytest

from evaluation.results import combine, combine_alerts, open_result
from tests.support import asking as asking_support
from tests.support import runs
from tests.support.asking import KPIS, READER, Asking
from tests.support.runs import PANES, RECIPIENT_KEY, run_terms

PLAIN = runs._values
ALERT = {"id": "busy", "kpi": "gp-visit-rate-ratio", "recipient": "watch", "when": "above", "raise_at": "1.5",
         "clear_at": "1.2"}
THIN_PANE = 4


def visits(of):
    """A table of `_values` in which `of` says each patient's visits: (patients,) → (panes, patients)."""
    def values(column, patient):
        if column in ("gp_visits", "gp_any"):
            found = np.broadcast_to(of(patient), (PANES, len(patient)))
            return found if column == "gp_visits" else (found > 0).astype(np.int64)
        return PLAIN(column, patient)
    return values


def at_doctors(*patients):
    """Everybody goes once a week, but in one week these alone."""
    def of(patient):
        found = np.ones((PANES, len(patient)), np.int64)
        found[THIN_PANE] = np.isin(patient, patients)
        return found
    return of


def with_intervals(**changes):
    made = run_terms(**changes)
    outputs = {"outputs": ("value", "interval", "sums")}
    return made.model_copy(update={"plans": tuple(p.model_copy(update=outputs) for p in made.plans)})


async def watched(monkeypatch, of):
    """What goes over the links and into the open, and what the recipients read, in an evaluation with requests."""
    monkeypatch.setattr(runs, "_values", visits(of))
    monkeypatch.setattr(asking_support, "new_key", lambda: b"\7" * 32)  # the same terms, so the same dummies
    monkeypatch.setattr(asking_support, "run_terms", with_intervals)
    asking = Asking(
        requesters=1, alerts=[ALERT],
        recipients=[{"name": READER, "kpis": list(KPIS)}, {"name": "watch", "kpis": []}],
    )
    sizes = Counter()

    def tap(sender, receiver, channel, label, payload):
        sizes[sender, receiver, channel, label, len(payload)] += 1
        return payload

    async def work():
        while await asking.nodes.work(tap=tap) == [True] * 3:
            pass

    await work()
    for start, stop in ((3, PANES), (THIN_PANE, THIN_PANE + 1), (0, 2)):
        asking.ask(asking.demand(start, stop).model_copy(update={"nonce": f"{start}" * 64}))
    await asking.all_hear()
    await work()
    moments = {"seconds": {}, "due_at": None, "ended_at": None, "late": None, "run": None, "request": None}
    said = [[(type(r).__name__, r.model_dump(exclude=moments.keys())) for r in node.records] for node in asking.nodes.nodes]
    return sizes, said, read(asking)


def read(asking):
    """What both recipients read, run by run."""
    nodes, found = asking.nodes.nodes, []
    for messages in zip(*(node.sent for node in nodes), strict=True):
        ((recipient,),) = ({name for name, _ in messages},)
        shares = [open_result(sealed, recipient, RECIPIENT_KEY, asking.terms) for _, sealed in messages]
        found.append((
            recipient, [(c.kpi, c.window, c.cell, c.result.sums) for c in combine(shares, asking.terms.plans)],
            combine_alerts(shares),
        ))
    return found


@pytest.mark.parametrize(("one", "other", "alike"), [
    # Everything is released; users go to the doctor far more often in one, and the alert is raised.
    (lambda patient: 1 + 0 * patient, lambda patient: 1 + 8 * (patient % 2), False),
    # Too few go in one week: nobody, one user, or two of each arm.
    (at_doctors(), at_doctors(1), True),
    (at_doctors(), at_doctors(0, 1, 2, 3), True),
])
async def test_nobody_but_the_recipient_sees_a_difference(monkeypatch, one, other, alike):
    (sizes, said, results), (others, saying, resulting) = [await watched(monkeypatch, of) for of in (one, other)]
    assert sizes == others
    assert said == saying
    assert (results == resulting) == alike
    assert Counter(r["outcome"] for name, r in said[0] if name == "Answered") == {"run": 2, "released": 1}
    assert any(r["suppressed"] for name, r in said[0] if name == "Done") == alike
    assert any(cells for _, cells, _ in results)
    assert any(states for recipient, _, states in results if recipient == "watch")
