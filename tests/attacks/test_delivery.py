"""Deliveries to receivers that behave badly, address files that leak, and messages that try to be something else."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from evaluation.courier import MAX_TARGETS, carry, check_targets, load_targets
from evaluation.delivery import Errand
from evaluation.errors import ConfigError
from evaluation.rows import RowSeal
from tests.support.receivers import Hook, Mailbox

SEAL = RowSeal(b"k" * 32, "test")
ID = "ab" * 20
SECONDS = 30


def errand(url, **changes):
    return Errand(**{"url": url, "id": ID, "title": "A title", "body": "One\nTwo & <b>three</b> – vier", **changes})


async def test_a_webhook_gets_title_text_and_key():
    hook = Hook()
    async with hook.serve() as at:
        outcome = await carry(errand(f"json://user:secret@{at}/path?+X-Own=1"), SECONDS)
    assert outcome.done, outcome
    ((first, headers, body),) = hook.calls
    assert first == "POST /path HTTP/1.1"
    assert (headers["idempotency-key"], headers["x-own"]) == (ID, "1")
    assert (body["title"], body["message"]) == ("A title", "One\nTwo & <b>three</b> – vier")


async def test_a_mail_has_an_id_that_is_always_the_same():
    box = Mailbox()
    with box.serve() as at:
        for _ in range(2):
            outcome = await carry(errand(f"mailto://{at}?from=winnow@example.org&to=team@example.org"), SECONDS)
            assert outcome.done, outcome
    first, second = box.mails
    assert first.get_all("Message-ID") == second.get_all("Message-ID")
    assert len(first.get_all("Message-ID")) == 1
    assert ID in first["Message-ID"]
    assert first["X-Winnow-Message"] == ID
    assert (first["Subject"], first["To"]) == ("A title", "team@example.org")
    assert first.get_content_type() == "text/plain"
    assert first.get_content().splitlines() == ["One", "Two & <b>three</b> – vier"]


async def test_newlines_in_a_title_make_no_header():
    box, hook = Mailbox(), Hook()
    title = "A\r\nBcc: all@example.org\n\nX-Evil: 1\r\x0b\x0c\x1c\x85\u2028Y: 2"
    with box.serve() as mail:
        async with hook.serve() as at:
            assert (await carry(errand(f"mailto://{mail}?from=a@example.org&to=b@example.org", title=title), SECONDS)).done
            assert (await carry(errand(f"json://{at}/", title=title), SECONDS)).done
    (mail,) = box.mails
    assert {"Bcc", "X-Evil", "Y"}.isdisjoint(mail.keys())
    assert "all@example.org" in mail["Subject"]
    assert "x-evil" not in hook.calls[0][1]


@pytest.mark.parametrize(("behave", "reason"), [
    ("500", "answered with status 500"), ("302", "answered with status 302"), ("404", "answered with status 404"),
])
async def test_other_answers_are_failures(behave, reason):
    hook = Hook(behave=behave)
    async with hook.serve() as at:
        outcome = await carry(errand(f"json://{at}/"), SECONDS)
    assert (outcome.done, outcome.reason) == (False, reason)
    assert hook.heard == 1, "a redirect is not followed"


@pytest.mark.parametrize("behave", ["hang", "drip", "flood"])
async def test_an_answer_that_does_not_end_is_cut_off(behave):
    hook = Hook(behave=behave)
    async with hook.serve() as at:
        began = time.monotonic()
        outcome = await carry(errand(f"json://{at}/?rto=60"), 6)
        assert time.monotonic() - began < 8
    assert not outcome.done, outcome
    assert outcome.reason in {"no answer within 6 s", "the answer was too large", "not reachable, or not accepted",
                              "the delivering process ended without an answer"}


async def test_nobody_there():
    outcome = await carry(errand("json://127.0.0.1:1/secret"), SECONDS)
    assert (outcome.done, outcome.reason) == (False, "not reachable, or not accepted")


@pytest.mark.parametrize(("stays", "kills"), [(False, 0), (True, 1)])
async def test_a_delivering_process_is_killed_only_if_it_does_not_end_itself(tmp_path, monkeypatch, stays, kills):
    """A signal to one that has just ended makes asyncio say that it does not know that process."""
    if stays:
        stub = tmp_path / "stays"
        stub.write_text("#!/bin/sh\nexec sleep 60\n")
        stub.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(stub))
    killed, kill = [], asyncio.subprocess.Process.kill
    monkeypatch.setattr(asyncio.subprocess.Process, "kill", lambda process: (killed.append(process.pid), kill(process)))
    outcome = await carry(errand("json://127.0.0.1:999999/"), 0.2 if stays else SECONDS)
    assert (outcome.done, len(killed)) == (False, kills)
    assert not any(map(runs, killed))


async def test_a_delivery_ends_with_whoever_sent_it():
    """Else a message that a killed process was sending would arrive beside its repetition."""
    hook = Hook(behave="hang")
    async with hook.serve() as at:
        sender = await asyncio.create_subprocess_exec(sys.executable, "-c", (
            "import asyncio; from evaluation.courier import carry; from evaluation.delivery import Errand\n"
            f"asyncio.run(carry(Errand(url='json://{at}/?rto=60', id='x', title='t', body='b'), 60))"
        ), cwd=Path(__file__).parents[2])
        while not hook.heard:  # noqa: ASYNC110 - an HTTP server's counter
            await asyncio.sleep(0.02)
        children = Path(f"/proc/{sender.pid}/task/{sender.pid}/children").read_text().split()
        assert len(children) == 1
        os.kill(sender.pid, signal.SIGKILL)
        await sender.wait()
        async with asyncio.timeout(2):
            while runs(children[0]):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)


def runs(pid):
    """Whether a process is there and not just waited for."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except FileNotFoundError:
        return False


def addresses(tmp_path, text, mode=0o600):
    path = tmp_path / "notify.txt"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_addresses_are_read_and_never_shown(tmp_path):
    first, second = load_targets(addresses(tmp_path, "# ours\n\njson://u:pass@h/\n mailto://u:pw@h \n"), SEAL)
    assert (first.name, second.name) == ("line 3 (json)", "line 4 (mailto)")
    assert first.url == "json://u:pass@h/"
    assert "pass" not in repr((first, second))
    assert first.key != second.key
    assert RowSeal(b"x" * 32, "test").name(f"target {first.url}").hex() != first.key


@pytest.mark.parametrize(("text", "mode", "said"), [
    ("json://u:pass@h/\n", 0o640, "mode is 640"), ("json://u:pass@h/\n", 0o604, "mode is 604"),
    ("json://u:pass@h/\njson://u:pass@h/\n", 0o600, "line 2 repeats line 1"),
    ("u:pass@h\n", 0o600, "line 1 is not an address"), ("json://u:pass@h/\x00\n", 0o600, "line 1"),
    ("json://u:pass@h/" + "x" * 3_000, 0o600, "line 1"), ("# nothing\n", 0o600, "has 0 addresses"),
    ("\n".join(f"json://u:pass@h/{n}" for n in range(MAX_TARGETS + 1)), 0o600, "has 17 addresses"),
    ("#" * 70_000, 0o600, "70000 bytes"),
])
def test_wrong_address_files(tmp_path, text, mode, said):
    with pytest.raises(ConfigError) as error:
        load_targets(addresses(tmp_path, text, mode), SEAL)
    assert said in str(error.value)
    assert "pass@" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="notify"):
        load_targets(tmp_path / "notify.txt", SEAL)


@pytest.mark.parametrize(("line", "said"), [
    ("slack://secret", "line 1 (slack): it is not an address"), ("nonsense://u:secret@h", "line 1 (nonsense)"),
    ("mailto://u:secret@example.org?to=a@example.org,b@example.org", "it has 2 receivers"),
])
async def test_addresses_that_apprise_cannot_use_are_named_by_line(tmp_path, line, said):
    path = addresses(tmp_path, line + "\n")
    with pytest.raises(ConfigError) as error:
        await check_targets(path, load_targets(path, SEAL))
    assert said in str(error.value)
    assert "secret" not in str(error.value)
