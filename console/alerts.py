"""A recipient's alerts process: follows results, decides what changed, and tells people once.

    python -m console.alerts CONFIG.toml

Keys, one file each: sealing. It reads results as the recipient does. Its state is a table of the control stream
`alerts-<recipient>`, sealed: a change of an alert is stored as decided, then delivered, then stored as delivered.
Deliveries run beside each other, one at a time for each target, in processes of their own.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from console.notice import notice
from console.series import expected_windows
from evaluation.account import Account
from evaluation.config import AlertsSettings, load_kpis, load_settings, load_terms, recipient_identity
from evaluation.courier import Target, carry, check_targets, load_targets
from evaluation.delivery import Errand
from evaluation.errors import Tampered
from evaluation.keys import agreed_secret, sealing_public
from evaluation.outbox import (
    Figure,
    Message,
    Row,
    Seen,
    decide,
    delivered,
    given_up,
    next_for,
    retry_after,
    without,
)
from evaluation.process import run_process
from evaluation.records import open_record
from evaluation.results import open_result
from evaluation.rows import RowSeal
from evaluation.status import StatusLine
from policy.agreement import Terms
from policy.kpi import Kpi
from streams.broker import watch
from streams.tables import ControlStream
from streams.topics import RUNS, alerts, results


class Watcher:
    """Follows one recipient's alerts; the handler of its control stream."""

    def __init__(
        self, settings: AlertsSettings, terms: Terms, kpis: Sequence[Kpi], secret: bytes, targets: Sequence[Target],
        status: StatusLine,
    ) -> None:
        self._settings, self._terms, self._status = settings, terms, status
        self._log = structlog.get_logger()
        self._kpis = {kpi.id: kpi for kpi in kpis}
        self._key = X25519PrivateKey.from_private_bytes(secret)
        self._seal = row_seal(secret, terms)
        self._targets = {target.key: target for target in targets}
        self._alerts = {a.id: a for a in terms.draft.alerts if a.recipient == settings.recipient}
        self._reads = next(r.kpis for r in terms.draft.recipients if r.name == settings.recipient)
        self._windows = expected_windows(terms.draft)
        self._places = {dates: place for place, dates in enumerate(self._windows)}
        self.stream = ControlStream(
            settings.broker, alerts(settings.recipient), (RUNS, results(settings.recipient)), settings.folder
        )
        self._account = Account(terms, settings.recipient)
        self._recombined = 0
        self._rows: dict[str, Row] = {}
        self._storing = asyncio.Lock()
        self._bells = {key: asyncio.Event() for key in self._targets}
        self._tried: dict[tuple[str, str], tuple[int, float]] = {}
        """(message, target) → attempts that failed, and when the next one is due (monotonic)."""
        self._carrying: set[asyncio.Task[object]] = set()
        self._active = self._told = False

    async def restored(self, table: Mapping[bytes, bytes]) -> None:
        """Take the rows over; the topics are read from their beginning."""
        self._account, self._recombined = Account(self._terms, self._settings.recipient), 0
        self._tried.clear()
        for alert in self._alerts:
            name = self._seal.name(alert)
            sealed = table.get(name)
            self._rows[alert] = Row() if sealed is None else Row.model_validate_json(self._seal.open(name, sealed))
        self._active = True
        for alert in self._alerts:
            await self._store(alert, lambda row: without(row, self._targets))
        self._status.say("ready", detail=f"{len(self._alerts)} alerts, {len(self._targets)} targets")
        for alert, row in self._rows.items():
            for failure in row.failures:
                self._status.say("undelivered", detail=f"{alert}: {failure.reason}", alert=alert, id=failure.id,
                                 reason=failure.reason)
        self._ring()

    def suspended(self) -> None:
        """Stop delivering; what is under way is decided, and delivered by whoever goes on."""
        self._active = False
        for task in self._carrying:
            task.cancel()
        self._status.say("suspended", detail="another process of these alerts may have taken over")

    async def record(self, topic: str, value: bytes) -> None:
        """Take a record of the nodes, or one node's share of results.

        Raises:
            Tampered, mpc.errors.IntegrityError: three nodes' results do not fit.
        """
        try:
            if topic == RUNS:
                self._account.add_record(open_record(value, self._terms))
                shares = None
            else:
                shares = open_result(value, self._settings.recipient, self._key, self._terms)
        except Tampered as error:
            self._log.warning("message ignored", topic=topic, reason=str(error))
            return
        if shares is not None:
            self._account.add_result(shares)
        if self._account.recombined != self._recombined:
            self._recombined = self._account.recombined
            await self._decide()
        self._tell()

    async def deliver(self) -> None:
        """Deliver what is decided until cancelled."""
        async with asyncio.TaskGroup() as group:
            for target in self._targets.values():
                group.create_task(self._serve(target))

    async def _decide(self) -> None:
        seen: dict[str, list[Seen]] = {}
        for row in self._account.alert_rows():
            if row.state != "no-data":
                seen.setdefault(row.id, []).append(Seen(self._places[row.window], row.state))
        changed = [a for a, states in seen.items() if self._decided(self._rows[a], a, states) != self._rows[a]]
        figures = self._figures() if changed else {}
        for alert in changed:
            states = [replace(s, figure=figures.get((alert, s.window))) for s in seen[alert]]
            before = self._rows[alert]
            await self._store(alert, partial(self._decided, alert=alert, seen=states))
            for message in self._rows[alert].pending:
                if message.window > before.window:
                    self._status.say("decided", alert=alert, id=message.id)
        self._ring()

    def _decided(self, row: Row, alert: str, seen: Sequence[Seen]) -> Row:
        return decide(row, alert, self._terms.hash, seen, self._targets, time.time())

    def _figures(self) -> dict[tuple[str, int], Figure]:
        """What this recipient may read, by alert and window."""
        found = {
            (r.kpi, self._places.get(r.window), tuple(sorted(r.cell.items()))):
                Figure(value=r.value, low=r.low, high=r.high)
            for r in self._account.document().releases if r.output == "value" and r.kpi in self._reads
        }
        return {
            (alert.id, place): found[key]
            for alert in self._alerts.values() for place in range(len(self._windows))
            if (key := (alert.kpi, place, tuple(sorted(alert.cell.items())))) in found
        }

    async def _store(self, alert: str, change: Callable[[Row], Row]) -> None:
        """Change a row; it is on the changelog before anybody acts on it."""
        async with self._storing:
            row = change(self._rows[alert])
            if row != self._rows[alert] and self._active:
                name = self._seal.name(alert)
                if await self.stream.put(name, self._seal.seal(name, row.model_dump_json().encode())):
                    self._rows[alert] = row

    async def _serve(self, target: Target) -> None:
        """Deliver to one target, whatever is due first; one alert's messages in their order."""
        while True:
            self._bells[target.key].clear()
            waiting = [
                (self._tried.get((message.id, target.key), (0, 0.0))[1], message.decided_at, alert, message)
                for alert, row in self._rows.items() if (message := next_for(row, target.key)) is not None
            ]
            due = min(waiting, key=lambda w: w[:3], default=None) if self._active else None
            delay = None if due is None else due[0] - time.monotonic()
            if due is None or (delay is not None and delay > 0):
                try:
                    async with asyncio.timeout(delay):
                        await self._bells[target.key].wait()
                except TimeoutError:
                    pass
                continue
            await self._attempt(target, due[2], due[3])

    async def _attempt(self, target: Target, alert: str, message: Message) -> None:
        rule = self._alerts[alert]
        title, body = notice(
            rule, message, self._kpis[rule.kpi], self._terms.draft, self._windows[message.window],
            reads=rule.kpi in self._reads, page=self._settings.page,
        )
        errand = Errand(url=target.url, id=message.id, title=title, body=body,
                        kind="warning" if message.state == "raised" else "success")
        carrying = asyncio.ensure_future(carry(errand, self._settings.attempt_seconds))
        self._carrying.add(carrying)
        try:
            await asyncio.wait([carrying])
        finally:
            carrying.cancel()
            self._carrying.discard(carrying)
        if carrying.cancelled():
            return
        outcome = carrying.result()
        about: dict[str, Any] = {"alert": alert, "id": message.id, "target": target.name}
        if outcome.done:
            await self._store(alert, lambda row: delivered(row, message.id, target.key))
            self._status.say("delivered", **about)
        elif time.time() - message.decided_at >= self._settings.give_up_seconds:
            await self._store(alert, lambda row: given_up(row, message.id, target.key, outcome.reason))
            self._log.error("message given up", reason=outcome.reason, **about)
            self._status.say("undelivered", detail=f"{alert} to {target.name}: {outcome.reason}",
                             reason=outcome.reason, **about)
        else:
            attempts = self._tried.get((message.id, target.key), (0, 0.0))[0] + 1
            wait = retry_after(attempts, self._settings.first_retry_seconds, self._settings.longest_retry_seconds)
            self._tried[message.id, target.key] = (attempts, time.monotonic() + wait)
            self._log.warning("message not delivered yet", reason=outcome.reason, again_in=wait, **about)
            self._status.say("retrying", detail=f"{target.name}: {outcome.reason}", reason=outcome.reason, **about)
            return
        self._tried.pop((message.id, target.key), None)
        self._tell()

    def _ring(self) -> None:
        for bell in self._bells.values():
            bell.set()

    def _tell(self) -> None:
        """Say once that all windows have ended and nothing waits any more."""
        if not self._told and self._account.complete and not any(row.pending for row in self._rows.values()):
            self._told = True
            self._status.say("complete")


def row_seal(secret: bytes, terms: Terms) -> RowSeal:
    """Seals the table of an agreement's alerts."""
    return RowSeal(secret, f"alerts {terms.hash}")


async def watch_alerts(settings: AlertsSettings, status: StatusLine) -> None:
    """Follow results, decide and deliver until ended from outside.

    Raises:
        streams.errors.BrokerError: the broker is gone.
        evaluation.errors.ConfigError: the addresses.
        evaluation.errors.Tampered, mpc.errors.IntegrityError: results or the own table do not fit.
    """
    terms = load_terms(settings.terms)
    agreed = recipient_identity(terms, settings.recipient).sealing_key
    secret = agreed_secret(settings.keys / "sealing", sealing_public, agreed)
    targets = load_targets(settings.notify, row_seal(secret, terms))
    await check_targets(settings.notify, targets)
    watcher = Watcher(settings, terms, load_kpis(settings.kpis), secret, targets, status)
    async with asyncio.TaskGroup() as group:
        group.create_task(watch(settings.broker))
        group.create_task(watcher.stream.run(watcher))
        group.create_task(watcher.deliver())


def main(config: Path) -> int:
    """Return the exit code."""
    settings = load_settings(config, AlertsSettings)
    name = alerts(settings.recipient)
    status = StatusLine(name)
    return run_process(name, watch_alerts(settings, status), status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
