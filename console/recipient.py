"""A recipient's process: recombines results, keeps the document, serves the pages.

    python -m console.recipient CONFIG.toml

Keys, one file each: sealing. It can read results meant for this recipient and nothing else.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from console.pages.app import create_app
from console.pages.server import serve
from console.pages.store import MemoryStore
from console.workdir import KPIS
from evaluation.account import Account
from evaluation.config import RecipientSettings, load_settings, load_terms
from evaluation.errors import Tampered
from evaluation.keys import read_secret
from evaluation.process import run_process
from evaluation.records import open_record
from evaluation.results import open_result
from evaluation.schedule import local_today
from evaluation.status import StatusLine
from streams.broker import Broker, Consumer, watch
from streams.topics import RUNS, results

POLL_SECONDS = 0.2
NEWS_WAIT_MS = 100
"""News may lie this long on the embedded broker: soon enough for people, and an idle reader costs it each wait."""
MOST_MESSAGES = 500


async def recipient(settings: RecipientSettings, status: StatusLine) -> None:
    """Follow results and records until ended from outside.

    Raises:
        streams.errors.BrokerError: the broker is gone.
        evaluation.errors.Tampered, mpc.errors.IntegrityError: three nodes' results do not fit one value.
    """
    log = structlog.get_logger()
    terms = load_terms(settings.terms)
    key = X25519PrivateKey.from_private_bytes(read_secret(settings.keys / "sealing"))
    broker, account, store = Broker(settings.broker), Account(terms, settings.recipient), MemoryStore()
    app = create_app(
        store, KPIS.validate_json(settings.kpis.read_bytes()), terms.draft, settings.recipient
    )

    async def follow() -> None:
        told = False
        async with (
            Consumer(broker, RUNS, [0], NEWS_WAIT_MS) as runs,
            Consumer(broker, results(settings.recipient), [0], NEWS_WAIT_MS) as sealed,
        ):
            while True:
                news = False
                for record in await runs.poll(POLL_SECONDS, MOST_MESSAGES):
                    news = True
                    try:
                        account.add_record(open_record(record.value, terms))
                    except Tampered as error:
                        log.warning("record ignored", reason=str(error))
                for message in await sealed.poll(POLL_SECONDS, MOST_MESSAGES):
                    news = True
                    try:
                        shares = open_result(message.value, settings.recipient, key, terms)
                    except Tampered as error:
                        log.warning("result ignored", reason=str(error))
                    else:
                        account.add_result(shares)
                if not news:
                    continue
                store.publish(account.document(local_today(terms.draft, datetime.now(UTC))))
                _write(settings.document, store)
                status.say("windows", *account.progress)
                if account.complete and not told:
                    told = True
                    status.say("complete", *account.progress)

    async with serve(app, settings.page_port) as url:
        status.say("page", detail=url, url=url)
        async with asyncio.TaskGroup() as group:
            group.create_task(watch(broker))
            group.create_task(follow())


def _write(path: Path, store: MemoryStore) -> None:
    """Replace the document at once: a reader never sees half of it."""
    draft = path.with_suffix(".tmp")
    draft.write_text(store.current().model_dump_json(indent=1), encoding="utf-8")
    draft.replace(path)


def main(config: Path) -> int:
    """Return the exit code."""
    settings = load_settings(config, RecipientSettings)
    status = StatusLine(settings.recipient)
    return run_process(settings.recipient, recipient(settings, status), status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
