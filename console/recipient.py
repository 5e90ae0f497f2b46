"""A recipient's process: recombines results, keeps the document, serves the pages.

    python -m console.recipient CONFIG.toml

Keys, one file each: sealing. It can read results meant for this recipient and nothing else.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import structlog

from console.pages.app import create_app
from console.pages.server import serve
from console.pages.store import MemoryStore
from console.reader import AccountReader
from evaluation.calendar import local_today
from evaluation.config import RecipientSettings, load_kpis, load_settings, load_terms, recipient_identity
from evaluation.process import run_process
from evaluation.status import StatusLine
from streams.durable import replace_file

NEWS_WAIT_MS = 100
"""News may lie this long on the embedded broker: soon enough for people, and an idle reader costs it each wait."""
GATHER_SECONDS = 0.1
"""News comes from three nodes at about the same time; the document is made once for all of it."""


async def recipient(settings: RecipientSettings, status: StatusLine) -> None:
    """Follow results and records until ended from outside.

    Raises:
        streams.errors.BrokerError: the broker is gone.
        evaluation.errors.Tampered, mpc.errors.IntegrityError: three nodes' results do not fit one value.
    """
    log = structlog.get_logger()
    terms, store = load_terms(settings.terms), MemoryStore()
    recipient_identity(terms, settings.recipient)
    app = create_app(store, load_kpis(settings.kpis), terms.draft, settings.recipient)
    reader = AccountReader(
        settings.broker, terms, settings.recipient, settings.keys, NEWS_WAIT_MS,
        lambda topic, reason: log.warning("message ignored", topic=topic, reason=reason),
    )

    async def show() -> None:
        told, account = False, reader.account
        while True:
            await reader.news()
            await asyncio.sleep(GATHER_SECONDS)
            store.publish(account.document(local_today(terms.draft, datetime.now(UTC))))
            _write(settings.document, store)
            status.say("windows", *account.progress)
            if account.complete and not told:
                told = True
                status.say("complete", *account.progress)

    async with serve(app, settings.page_port) as url, reader:
        status.say("page", detail=url, url=url)
        await show()


def _write(path: Path, store: MemoryStore) -> None:
    """Replace the document at once: a reader never sees half of it."""
    replace_file(path, store.current().model_dump_json(indent=1).encode(), durable=False, mode=0o666)


def main(config: Path) -> int:
    """Return the exit code."""
    settings = load_settings(config, RecipientSettings)
    status = StatusLine(settings.recipient)
    return run_process(settings.recipient, recipient(settings, status), status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
