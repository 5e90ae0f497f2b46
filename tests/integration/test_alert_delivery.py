"""Alerts reach people once: a real alerts process, embedded broker, SMTP server and webhook; killed where it hurts."""

import asyncio
import os
import time
import tomllib
from pathlib import Path

import pytest
import tomli_w

from console.cohort.generate import generate
from console.cohort.shape import Shape
from evaluation.outbox import MAX_PENDING, Row, message_id
from evaluation.rows import RowSeal
from infra.local.broker import EmbeddedBroker
from policy.alert import MAX_ALERTS
from streams.broker import Broker, Consumer, Producer, create_topics
from streams.topics import RUNS, alerts, all_topics, changelog, results
from tests.support.alerting import KPI, RULE, SECRET, AlertsProcess, alert_terms, publish, run_results
from tests.support.command import evaluate, winnow
from tests.support.receivers import Hook, Mailbox

pytestmark = pytest.mark.timeout(240)
MAIL = "mailto://{}?from=winnow@example.org&to=team@example.org"


@pytest.fixture
def broker(tmp_path):
    embedded = EmbeddedBroker(tmp_path / "broker")
    embedded.start()
    yield embedded
    embedded.stop()


@pytest.fixture
async def world(tmp_path, broker):
    """Broker with the agreement's topics, a mailbox and a webhook; `begin` starts the process."""
    terms, box, hook, made = alert_terms(), Mailbox(), Hook(), []
    await create_topics(Broker(broker.address), all_topics(terms.draft))
    with box.serve() as mail:
        async with hook.serve() as web:
            class World:
                urls = (MAIL.format(mail), f"json://{web}/alerts")

                def begin(self, **settings):
                    made.append(AlertsProcess.configured(tmp_path, broker, self.terms, self.urls, **settings).start())
                    return made[-1]

                async def rows(self, least):
                    """What the changelog says of the alert, oldest first: at least so many rows."""
                    seal, found = RowSeal(SECRET, f"alerts {self.terms.hash}"), []
                    name = seal.name("busy")
                    async with Consumer(Broker(broker.address), changelog(alerts("team")), [0]) as consumer:
                        limit = time.monotonic() + 60
                        while len(found) < least and time.monotonic() < limit:
                            for record in await consumer.poll(0.5, 100):
                                assert record.key == name
                                assert b"raised" not in record.value
                                found.append(Row.model_validate_json(seal.open(name, record.value)))
                    assert len(found) >= least
                    return found

            World.terms, World.box, World.hook, World.broker = terms, box, hook, broker
            yield World()
            for process in made:
                process.kill()


def ids(world):
    """(ids of mails, keys of webhook calls)."""
    return (
        [mail["X-Winnow-Message"] for mail in world.box.mails],
        [headers["idempotency-key"] for _, headers, _ in world.hook.calls],
    )


async def settled(process, count):
    """Everything decided was delivered, and nothing follows."""
    await process.says("delivered", count)
    await asyncio.sleep(2.5)  # longer than a broker's fetch and a delivery
    assert len(process.lines("delivered")) == count


async def test_delivered_once_across_a_kill_between_decision_and_delivery(world):
    """No receiver takes it yet: the change is decided, on the changelog, and not delivered when the process dies."""
    world.box.open, world.hook.behave = False, "503"
    process = world.begin()
    await process.says("ready")
    await publish(world.broker, run_results(world.terms, "r1", {"busy": {0: 0, 1: 1, 2: 1}}, {0: 1, 1: 1.25, 2: 1.5}))
    await process.until(lambda: world.box.waiting == 1 and world.hook.heard > 1, "attempts at both receivers")
    expected = message_id(world.terms.hash, "busy", 1, "raised")
    (decided,) = await world.rows(1)
    assert [(m.id, len(m.waiting)) for m in decided.pending] == [(expected, 2)]
    process.kill()
    assert ids(world) == ([], [])

    world.box.open, world.hook.behave = True, "ok"
    process = world.begin()
    await settled(process, 2)
    assert ids(world) == ([expected], [expected])
    assert process.lines("decided") == []
    final = (await world.rows(3))[-1]
    assert (final.window, final.state, final.pending, final.failures) == (1, "raised", (), ())

    text = world.hook.calls[0][2]["message"]
    for said in ("in the window 8 Jan – 4 Feb 2024.", "in het venster 8 jan – 4 feb 2024.",
                 "on at 1.2 or more, off at 1 or less (ratio)", "Value: 1.25; 95% interval 0.98 to 1.60.",
                 "Waarde: 1,25; 95%-interval 0,98 tot 1,60.", expected):
        assert said in text
    assert text.splitlines() == world.box.mails[0].get_content().splitlines()
    assert expected in world.box.mails[0]["Message-ID"]
    log = process.log.read_text()
    assert world.urls[0] not in log
    assert "team@example.org" not in log
    assert "/alerts" not in log


async def test_killed_after_delivery_before_the_mark_it_comes_again_under_the_same_id(world):
    """At least once: no receiver and no broker can be told in one step."""
    world.urls = world.urls[:1]
    process = world.begin()
    await process.says("ready")
    world.box.taken = process.child.kill
    await publish(world.broker, run_results(world.terms, "r1", {"busy": {0: 1}}, {0: 1.5}))
    assert await process.ended() == -9
    world.box.taken = None
    process.kill()
    process = world.begin()
    await settled(process, 1)
    first, second = world.box.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert first["X-Winnow-Message"] == second["X-Winnow-Message"] == message_id(world.terms.hash, "busy", 0, "raised")


async def test_repeats_say_nothing_and_a_new_change_does(world):
    """The same results again, in new runs and after a clean restart; then clear, and raised once more."""
    process = world.begin()
    first = run_results(world.terms, "r1", {"busy": {0: 0, 1: 1}}, {0: 1, 1: 1.25})
    await publish(world.broker, first)
    await process.says("delivered", 2)
    await publish(world.broker, first)
    await publish(world.broker, run_results(world.terms, "r2", {"busy": {0: 0, 1: 1}}, {0: 1, 1: 1.25}))
    process.child.terminate()
    assert await process.ended() == 130
    process.kill()
    process = world.begin()
    await publish(world.broker, run_results(world.terms, "r3", {"busy": {2: 1, 3: 0, 4: 0}}, {2: 1.5, 3: 0.5, 4: 0.5}))
    await publish(world.broker, run_results(world.terms, "r4", {"busy": {5: 1}}, {5: 1.75}))
    await settled(process, 4)
    changes = [(1, "raised"), (3, "clear"), (5, "raised")]
    expected = [message_id(world.terms.hash, "busy", w, s) for w, s in changes]
    assert ids(world) == (expected, expected)
    subjects = [mail["Subject"].split(":")[0] for mail in world.box.mails]
    assert subjects == ["Alert raised", "Alert cleared", "Alert raised"]


async def test_who_may_not_read_the_value_gets_the_state_alone(world):
    world.terms, world.urls = alert_terms(reads=()), world.urls[1:]
    process = world.begin()
    await publish(world.broker, run_results(world.terms, "r1", {"busy": {0: 1}}))
    await settled(process, 1)
    text = world.hook.calls[0][2]["message"]
    assert "The value is not for you to see" in text
    assert "Value:" not in text
    assert "De waarde is niet voor u bestemd" in text


async def test_a_receiver_that_is_away_stops_nobody_else_and_its_failure_stays_visible(world):
    world.hook.behave = "500"
    process = world.begin(give_up_seconds=10)
    await publish(world.broker, run_results(world.terms, "r1", {"busy": {0: 1, 1: 0}}, {0: 1.5, 1: 0.5}))
    facts = await process.says("undelivered", 2)
    assert (facts["target"], facts["reason"]) == ("line 2 (json)", "answered with status 500")
    await process.says("delivered", 2)
    assert len(world.box.mails) == 2
    assert len(process.lines("retrying")) >= 1
    assert world.hook.heard >= 3
    final = (await world.rows(5))[-1]
    assert [(f.state, f.reason) for f in final.failures] == [
        ("raised", "answered with status 500"), ("clear", "answered with status 500"),
    ]
    process.kill()
    heard = world.hook.heard
    process = world.begin()
    await process.says("undelivered", 2)
    await asyncio.sleep(1)
    assert world.hook.heard == heard, "what was given up is not tried again"


async def test_forged_and_broken_messages_change_nothing(world):
    other = alert_terms(rules=[RULE | {"raise_at": "1.3"}])
    real = run_results(world.terms, "r1", {"busy": {0: 1}}, {0: 1.5})
    forged = [b"", b"x", bytes(200), real[0][:-1], bytes([2]) + real[0][1:], real[1][:70] + bytes([real[1][70] ^ 1]) + real[1][71:]]
    forged += run_results(other, "r0", {"busy": {0: 0}}, {0: 1})
    process = world.begin()
    await publish(world.broker, forged)
    await publish(world.broker, [b"", b"{}", bytes(300)], RUNS)
    await publish(world.broker, [real[0], real[0], *forged, real[1], real[2]])
    await settled(process, 2)
    assert ids(world) == ([message_id(world.terms.hash, "busy", 0, "raised")],) * 2
    assert results("team") in process.log.read_text()


async def test_results_that_do_not_fit_end_it_with_6(world):
    process = world.begin()
    await process.says("ready")
    first, second = (run_results(world.terms, "r1", {"busy": {0: s}}, {0: 1.5}) for s in (0, 1))
    await publish(world.broker, [first[0], first[1], second[2]])
    assert await process.ended() == 6


async def test_a_row_that_somebody_else_wrote_ends_it_with_6(world):
    seal = RowSeal(bytes(32), f"alerts {world.terms.hash}")
    name = RowSeal(SECRET, f"alerts {world.terms.hash}").name("busy")
    async with Producer(Broker(world.broker.address)) as producer:
        await producer.send(changelog(alerts("team")), 0, [(name, seal.seal(name, Row().model_dump_json().encode()))])
    process = world.begin()
    assert await process.ended() == 6
    assert "cannot be opened" in process.lines("failed")[0]["facts"]["reason"]


async def test_a_flood_of_changes_keeps_everything_bounded(world):
    """32 alerts that change in every window, to receivers that take nothing; then they do."""
    rules = [RULE | {"id": f"alert-{n}"} for n in range(MAX_ALERTS)]
    grid = {"zone": "UTC", "unit": "day", "start": "2024-01-01", "count": 330}
    world.terms = alert_terms(rules=rules, panes=grid)
    windows = range(len(world.terms.draft.lattice.scheduled))
    assert len(rules) * len(windows) >= 10_000
    world.urls, world.hook.behave = world.urls[1:], "503"
    process = world.begin()
    states = {rule["id"]: {w: (w + 1) % 2 for w in windows} for rule in rules}
    began = time.monotonic()
    await publish(world.broker, run_results(world.terms, "r1", states))
    await process.says("decided", 32 * MAX_PENDING)
    decided = time.monotonic() - began
    resident = int(Path(f"/proc/{process.child.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert (decided < 60, resident < 400 << 20) == (True, True), (decided, resident)
    world.hook.behave = "ok"
    await process.says("delivered", 5)
    sent = [headers["idempotency-key"] for _, headers, _ in world.hook.calls]
    assert len(set(sent)) == len(sent)


async def test_a_broker_that_goes_ends_it_with_5(world):
    process = world.begin()
    await process.says("ready")
    world.broker.stop()
    began = time.monotonic()
    assert await process.ended() == 5
    assert time.monotonic() - began < 15


async def test_a_file_that_others_can_read_ends_it_with_2(world, tmp_path):
    process = world.begin()
    process.kill()
    (tmp_path / "notify.txt").chmod(0o644)
    process.start()
    assert await process.ended() == 2
    assert "mode is 644" in process.lines("failed")[0]["facts"]["reason"]


async def test_evaluate_sends_what_the_document_says(tmp_path):
    """`winnow evaluate --notify`: a message for every change, and it waits until they are there."""
    quick = Path(__file__).parents[1] / "support" / "agreements" / "quick.toml"
    agreement = tomllib.loads(quick.read_text(encoding="utf-8"))
    rule = {"kpi": KPI, "when": "above", "raise_at": "0.000001", "clear_at": "-1"}
    agreement |= {
        "kpis": [KPI],
        "recipients": [{"name": "innovation-team", "kpis": [KPI]}, {"name": "watch", "kpis": []}],
        "alerts": [rule | {"id": "open", "recipient": "innovation-team"}, rule | {"id": "closed", "recipient": "watch"}],
    }
    (tmp_path / "agreement.toml").write_text(tomli_w.dumps(agreement), encoding="utf-8")
    shape = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
    folders = generate(tmp_path / "cohort", shape=shape).parties
    hook, notify = Hook(), tmp_path / "notify.txt"
    async with hook.serve() as web:
        notify.write_text(f"json://{web}/\njson://127.0.0.1:1/gone\n")
        notify.chmod(0o600)
        document, stderr = await asyncio.to_thread(
            evaluate, tmp_path / "agreement.toml", folders, "--notify", notify, "--work", tmp_path / "work",
            first="from console import system; system.PATIENCE_SECONDS = 10.0",
        )
    changed = [row for row in document["alerts"] if row["changed"]]
    assert [row["id"] for row in changed] == ["open", "closed"]
    (value,) = [
        r["value"] for r in document["releases"]
        if r["output"] == "value" and not r["cell"] and r["window"] == changed[0]["window"]
    ]
    texts = sorted((body["message"] for _, _, body in hook.calls), key=lambda text: "not for you" in text)
    assert len(texts) == 2
    assert f"Value: {value:.2f}" in texts[0]
    assert "Value:" not in texts[1]
    assert "winnow: an alert was not delivered: open to line 2 (json): not reachable, or not accepted" in stderr
    assert "winnow: an alert was not delivered: closed to line 2 (json)" in stderr


def test_a_test_message_needs_a_closed_file(tmp_path):
    notify = tmp_path / "notify.txt"
    notify.write_text("json://127.0.0.1:1/\n")
    notify.chmod(0o644)

    _, stderr = winnow("alert", "test", "--notify", notify, expect=2)
    assert "its mode is 644, not 600" in stderr
    assert "127.0.0.1:1" not in stderr

