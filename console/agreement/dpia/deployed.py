"""How an organisation runs its part, as its configurations say: what bears on protection, and no secret of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from console.agreement.dpia.blocks import Block, Cell, Line, Part, Report
from console.agreement.subject import Subject
from console.agreement.words import plain
from evaluation.config import BrokerSettings, ChainSettings, load_settings, load_terms
from evaluation.errors import ConfigError


class Deployed(BaseModel):
    """What a configuration of any process says that patients' protection depends on; all else is left aside."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    terms: Path
    broker: str | BrokerSettings | None = None
    """host:port of an embedded broker, or a table; its files are not opened."""
    chain: ChainSettings | None = None
    party: str | None = None
    number: int | None = None
    recipient: str | None = None
    requester: str | None = None
    data: Path | None = None
    live: bool = False
    document: Path | None = None
    notify: Path | None = None


def read(path: Path, subject: Subject) -> Deployed:
    """Read a configuration that is under this agreement.

    Raises:
        ConfigError: unreadable, a field is wrong, or it is under other terms.
    """
    found = load_settings(path, Deployed)
    terms = load_terms(found.terms)
    same = terms.draft == subject.draft if subject.terms is None else terms.hash == subject.terms.hash
    if not same:
        raise ConfigError(
            f"configuration {path}: found other terms, {terms.hash[:16]}, than the agreement that the report is about. "
            "Name a configuration of the same agreement, or the terms that it names"
        )
    return found


def running(report: Report, configurations: Sequence[tuple[Path, Deployed]]) -> Part:
    """How it is run, by each configuration; without any, that nothing is known of it."""
    if not configurations:
        unknown = (*report.silent("dpia_no_configuration"), *report.open("dpia_open_running"))
        return Part("running", (Block("", unknown),))
    blocks = tuple(
        Block(f"{_who(report, one)} ({plain(path.name)})", tuple(_lines(report, one))) for path, one in configurations
    )
    return Part("running", (*blocks, Block("", report.open("dpia_open_running"))))


def _who(report: Report, one: Deployed) -> str:
    for key, name in (("party", one.party), ("recipient", one.recipient), ("requester", one.requester)):
        if name is not None:
            return report.say(f"dpia_runs_{key}", name=plain(name))
    return report.say("dpia_runs_node" if one.number is not None else "dpia_runs_other", number=str(one.number))


def _lines(report: Report, one: Deployed) -> Iterator[Line]:
    yield from _broker(report, one)
    if one.chain is not None:
        host = urlsplit(one.chain.url)
        yield from report.said(
            "dpia_reads_chain", host=plain(host.hostname or "?"), chain=str(one.chain.deployment.chain_id),
            registry=one.chain.deployment.address,
        )
        if host.scheme != "https" and host.hostname not in ("127.0.0.1", "localhost", "::1"):
            yield from report.said("dpia_chain_in_clear")
    if one.party is not None:
        yield from report.said("dpia_from_folder" if one.data is not None else "dpia_from_topic")
    if one.number is not None:
        yield from report.said("dpia_live" if one.live else "dpia_not_live")
    if one.document is not None:
        yield from report.said("dpia_writes_document")
    if one.notify is not None:
        yield from report.said("dpia_notifies")


def _broker(report: Report, one: Deployed) -> Cell:
    if one.broker is None:
        return ()
    if isinstance(one.broker, str) or one.broker.profile == "embedded":
        return report.said("dpia_embedded_broker")
    secured = one.broker.user is not None and one.broker.authority is not None
    return report.said("dpia_kafka" if secured else "dpia_kafka_in_clear")
