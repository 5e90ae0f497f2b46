"""What `winnow request` does: sign a request, send it, wait for its end, print what came out or why not."""

import asyncio
import logging
import sys
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.asking import cells_asked, panes_between, plans_asked, window_dates
from console.errors import ConsoleError
from console.keyring import CHAIN
from console.output import standard_output
from console.passphrase import passphrase
from console.reader import AccountReader
from console.requested import Outcome, Verdict, present_outcome, present_verdicts
from evaluation.account import Account
from evaluation.agreement import open_registry, read_facts
from evaluation.answers import Answer
from evaluation.config import RequesterSettings, load_kpis, load_settings, load_terms
from evaluation.document import DateWindow
from evaluation.errors import EXIT_ENDED, EXIT_REFUSED, EXIT_SUPPRESSED, ConfigError, EvaluationError
from evaluation.keystore import read_chain_key
from evaluation.process import exit_code
from evaluation.records import BELIEVED
from evaluation.requests import open_request, seal_request
from mpc.errors import MpcError
from policy.agreement import Terms
from policy.errors import PolicyError
from policy.gate import DemandFacts, verdicts
from policy.kpi import Kpi
from policy.plan import Plan
from policy.request import Demand, missing_plans, new_demand
from streams.broker import Producer
from streams.errors import StreamsError
from streams.topics import REQUESTS

TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    kpis: tuple[str, ...]
    window: str
    cells: tuple[str, ...] = ()
    dry_run: bool = False
    json: bool = False
    timeout_seconds: float = TIMEOUT_SECONDS


@dataclass(frozen=True)
class Requester:
    """Who asks: what the configuration leads to."""

    settings: RequesterSettings
    terms: Terms
    kpis: tuple[Kpi, ...]
    key: bytes
    recipient: str

    @classmethod
    def load(cls, config: Path) -> "Requester":
        """Read the configuration and what it names.

        Raises:
            ConfigError: a file is missing or wrong, or the agreement does not know the requester.
        """
        settings = load_settings(config, RequesterSettings)
        terms = load_terms(settings.terms)
        names = {r.name: r.recipient for r in terms.draft.requesters}
        if settings.requester not in names:
            known = ", ".join(names) or "nobody"
            raise ConfigError(f"configuration {config}: {settings.requester} may not ask; the agreement names {known}.")
        kpis, secret = load_kpis(settings.kpis), read_chain_key(settings.keys / CHAIN, passphrase)
        return cls(settings, terms, kpis, secret, names[settings.requester])

    def reader(self) -> AccountReader:
        """Follows what the nodes say, and the recipient's results."""
        return AccountReader(self.settings.broker, self.terms, self.recipient, self.settings.recipient_keys)


def request(config: Path, asked: Asked) -> int:
    """Run `winnow request`; returns the exit code."""
    return run_command(_request(config, asked))


def run_command(work: Coroutine[Any, Any, int]) -> int:
    """Run a command's coroutine; every expected error becomes a sentence and an exit code."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it retries by itself, and what fails in the end is said
    try:
        return asyncio.run(work)
    except ConsoleError as error:
        sys.stderr.write(f"winnow: {error}\n")
        return exit_code(ConfigError())
    except (EvaluationError, PolicyError, StreamsError, MpcError) as error:
        sys.stderr.write(f"winnow: {error}\n")
        return exit_code(error)


async def _request(config: Path, asked: Asked) -> int:
    requester = Requester.load(config)
    plans = plans_asked(requester.terms, requester.recipient, asked.kpis)
    cells = cells_asked(plans, asked.cells)
    start, end = window_dates(asked.window)
    panes = panes_between(requester.terms.draft, start, end)
    demand = new_demand(requester.terms, requester.settings.requester, asked.kpis, *panes)
    if asked.dry_run:
        return await _dry_run(requester, demand, as_json=asked.json)
    said = _Told(time.monotonic())
    async with (
        requester.reader() as reader,
        Producer(requester.settings.broker) as producer,
    ):
        outcome = await ask(requester, reader, producer, demand, asked.timeout_seconds, said)
    outcome = outcome.only(cells)
    with standard_output():
        if asked.json:
            sys.stdout.write(outcome.model_dump_json(indent=1) + "\n")
        else:
            present_outcome(outcome, requester.kpis)
    return {"released": EXIT_ENDED, "suppressed": EXIT_SUPPRESSED, "refused": EXIT_REFUSED}[outcome.status]


async def ask(
    requester: Requester, reader: AccountReader, producer: Producer, demand: Demand, timeout_seconds: float,
    told: "_Told | None" = None,
) -> Outcome:
    """Sign and send a demand, and wait for its end.

    Args:
        requester: who asks.
        reader: follows the topics already.
        producer: sends the request.
        demand: what is asked for, its window agreed.
        timeout_seconds: longest wait, from sending on.
        told: takes the progress, in words.

    Raises:
        Unreachable: no end in time.
        BrokerError, Tampered, MpcError: see console.reader.
    """
    told = told or _Told(None)
    chain = requester.settings.chain
    message = seal_request(demand, chain.deployment, chain.agreement_id, requester.key)
    digest = open_request(message).digest(chain.deployment, chain.agreement_id)
    told.say(f"Request {digest[:16]} signed by {demand.requester}: {', '.join(demand.kpis)}.")
    await producer.send(REQUESTS, 0, [(None, message)])
    told.say("Sent; waiting for the nodes.")

    def look() -> Outcome | None:
        answer = reader.account.answer(digest)
        told.answer(answer)
        return outcome_of(reader.account, requester.terms, demand, digest, answer)

    def silence() -> str:
        answer = reader.account.answer(digest)
        nodes = ", ".join(map(str, answer.admitted)) or "none"
        return (
            f"the request did not end within {timeout_seconds:g} s: nodes that admitted it: {nodes}. It is not lost: "
            "ask again later, or with a longer --timeout; what was computed meanwhile costs no quota."
        )

    return await reader.wait(look, timeout_seconds, silence)


def outcome_of(account: Account, terms: Terms, demand: Demand, digest: str, answer: Answer) -> Outcome | None:
    """How a request ended, or None if it has not yet; a pure look at the account."""
    window = terms.draft.lattice.at(demand.start, demand.stop)
    dates = DateWindow.of_panes(terms.draft.panes, demand.start, demand.stop)
    made = {"request": digest, "requester": demand.requester, "kpis": demand.kpis, "window": dates}
    if len(answer.refused) >= BELIEVED:
        nodes: dict[tuple[str, str | None, str, str], list[int]] = {}
        for r in answer.refused:
            nodes.setdefault((r.rule, r.found, r.required, r.next_step), []).append(r.node)
        return Outcome(**made, status="refused", verdicts=tuple(
            Verdict(rule=rule, passes=False, found=found, required=required, next_step=step, nodes=tuple(who))
            for (rule, found, required, step), who in nodes.items()
        ))
    over = account.stopped
    if answer.outcome is None and over is not None:
        return Outcome(**made, status="refused", verdicts=(Verdict(
            rule=over.rule, passes=False, found=None if over.found is None else str(over.found),
            required=str(over.required or ""), next_step="agree anew", nodes=over.nodes,
        ),))
    if answer.outcome is None or window is None:
        return None
    if not all(account.settled(kpi, window.index) for kpi in demand.kpis):
        return None
    releases = account.releases(demand.kpis, {window.index})
    refusals = tuple(r for r in account.refusals() if r.suppression and r.kpi in demand.kpis and r.window == dates)
    return Outcome(
        **made, status="released" if releases else "suppressed", outcome=answer.outcome, run=answer.run,
        releases=releases, refusals=refusals,
    )


async def _dry_run(requester: Requester, demand: Demand, *, as_json: bool) -> int:
    """Every rule's verdict, as far as chain and records tell; nothing is sent."""
    settings, terms = requester.settings, requester.terms
    async with requester.reader() as reader:
        await reader.catch_up()
        account = reader.account
    async with open_registry(settings.chain, terms) as registry:
        facts = await read_facts(registry, settings.chain, terms, "finalized")
    known = _known(requester, demand, account)
    found = tuple(Verdict.of(rule, refusal) for rule, refusal in verdicts(terms, facts, demand, known))
    with standard_output():
        if as_json:
            outcome = Outcome(
                requester=demand.requester, kpis=demand.kpis, status="dry-run", verdicts=found,
                window=DateWindow.of_panes(terms.draft.panes, demand.start, demand.stop),
            )
            sys.stdout.write(outcome.model_dump_json(indent=1) + "\n")
        else:
            present_verdicts(found)
    return EXIT_ENDED if all(v.passes for v in found) else EXIT_REFUSED


def _known(requester: Requester, demand: Demand, account: Account) -> DemandFacts:
    """What the nodes will find, as far as the requester can tell: his signature is checked as they check it."""
    chain = requester.settings.chain
    signed = open_request(seal_request(demand, chain.deployment, chain.agreement_id, requester.key))
    hashes = {p.kpi: p.hash for p in requester.terms.plans}
    covered = {(hashes[kpi], window) for kpi, window in account.covered()}
    missing: Sequence[Plan] = missing_plans(requester.terms, demand, covered)
    return DemandFacts(
        signer=signed.signer(chain.deployment, chain.agreement_id), nonce_seen=False,
        complete_panes=account.complete_panes, needs_run=bool(missing), runs_used=account.runs_used(demand.requester),
        erased_panes=account.erased_panes,
    )


class _Told:
    """Says on standard error what goes on, each thing once."""

    def __init__(self, begin: float | None) -> None:
        self._begin = begin
        self._said: set[str] = set()

    def say(self, words: str) -> None:
        """Say it, unless it was said."""
        if self._begin is None or words in self._said:
            return
        self._said.add(words)
        sys.stderr.write(f"[{time.monotonic() - self._begin:5.1f} s] {words}\n")

    def answer(self, answer: Answer) -> None:
        """Say what the nodes answer."""
        if answer.refused:
            self.say(f"Refused by {len(answer.refused)} of 3 nodes.")
        if answer.outcome is not None:
            self.say({
                "run": "Admitted by the nodes: a new run computes it.",
                "joined": "Admitted by the nodes: a run that is under way computes it.",
                "released": "Admitted by the nodes: it was computed before.",
            }[answer.outcome])
