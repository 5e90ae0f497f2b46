"""Everything an evaluation on one machine needs on disk: throw-away keys, terms, and a configuration per process.

Each role's keys lie in a folder of its own, mode 0700. The link secret is copied to data parties only.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import TypeAdapter, ValidationError

from evaluation.keys import new_secret, private_folder, sealing_public, signing_public, write_secret
from mpc.identity import create_identity
from policy.agreement import NODES, Draft, NodeIdentity, PartyIdentity, RecipientIdentity, RequesterIdentity, Terms
from policy.compilation import compile_plans
from policy.errors import AgreementError
from policy.kpi import Kpi

LINK, PSEUDONYM, SHARING, BATCH, REJECTS, CHAIN = "link", "pseudonym", "sharing", "batch", "rejects", "chain"
SEALING, RECORDS = "sealing", "records"

KPIS: TypeAdapter[list[Kpi]] = TypeAdapter(list[Kpi])


@dataclass(frozen=True)
class WorkDir:
    """The folder of one evaluation."""

    root: Path
    terms: Terms

    @property
    def terms_file(self) -> Path:
        return self.root / "terms.json"

    @property
    def kpi_file(self) -> Path:
        """The KPI programs, for their texts."""
        return self.root / "kpis.json"

    def document(self, recipient: str) -> Path:
        """Where a recipient keeps the result document."""
        return self.root / recipient / "document.json"

    def keys(self, role: str) -> Path:
        """Folder of a role's keys; a role is a party, `node-<j>`, a recipient or a requester."""
        return self.root / role / "keys"

    def configuration(self, role: str) -> Path:
        """Where a role's configuration is."""
        return self.root / role / "config.toml"

    def configure(self, role: str, settings: dict[str, Any]) -> Path:
        """Write a role's configuration and return its path."""
        path = self.configuration(role)
        path.write_text(tomli_w.dumps(_plain(settings)), encoding="utf-8")
        return path

    def configure_requesters(
        self, broker: Callable[[str], str | dict[str, Any]], chain: dict[str, Any]
    ) -> None:
        """Write the configuration of every requester: nobody runs for them, they call `winnow request`.

        Args:
            broker: requester → how it meets the broker, as in every configuration.
            chain: the agreement's place on chain, as in every configuration.
        """
        for requester in self.terms.draft.requesters:
            self.configure(requester.name, {
                "requester": requester.name, "terms": self.terms_file, "kpis": self.kpi_file,
                "broker": broker(requester.name),
                "keys": self.keys(requester.name), "recipient_keys": self.keys(requester.recipient), "chain": chain,
            })

    def log(self, role: str) -> Path:
        """Where a role's process logs."""
        return self.root / role / "log.jsonl"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _key_folder(root: Path, role: str) -> Path:
    """The folder of a role's keys, within the role's own, both closed to others."""
    return private_folder(private_folder(root / role) / "keys")


def prepare(root: Path, draft: Draft, kpis: tuple[Kpi, ...], node_ports: tuple[int, ...]) -> WorkDir:
    """Draw everyone's throw-away keys under `root` and put the terms together.

    Raises:
        policy.errors.PlanError: a KPI does not compile against the agreement.
        policy.errors.AgreementError: the terms contradict each other.
        FileExistsError: `root` already holds keys.
    """
    from policy.chain.signing import address_of

    private_folder(root)
    link_secret = secrets.token_bytes(32)
    parties, nodes, recipients = [], [], []
    for party in draft.parties:
        keys = _key_folder(root, party.name)
        write_secret(keys / LINK, link_secret)
        for name in (PSEUDONYM, SHARING, REJECTS):
            new_secret(keys / name)
        batch, chain = new_secret(keys / BATCH), new_secret(keys / CHAIN)
        parties.append(PartyIdentity(name=party.name, address=address_of(chain), batch_key=signing_public(batch)))
    for number in range(NODES):
        keys = _key_folder(root, f"node-{number}")
        identity = create_identity(keys, f"node-{number}")
        nodes.append(NodeIdentity(
            number=number, organisation=draft.parties[number % len(draft.parties)].name,
            endpoint=f"127.0.0.1:{node_ports[number]}", certificate=identity.fingerprint,
            sealing_key=sealing_public(new_secret(keys / SEALING)),
            record_key=signing_public(new_secret(keys / RECORDS)),
            attestor=address_of(new_secret(keys / CHAIN)),
        ))
    for recipient in draft.recipients:
        keys = _key_folder(root, recipient.name)
        recipients.append(RecipientIdentity(
            name=recipient.name, sealing_key=sealing_public(new_secret(keys / SEALING))
        ))
    requesters = tuple(
        RequesterIdentity(
            name=r.name, address=address_of(new_secret(_key_folder(root, r.name) / CHAIN))
        ) for r in draft.requesters
    )
    try:
        terms = Terms(
            draft=draft, parties=tuple(parties), nodes=tuple(nodes), recipients=tuple(recipients),
            plans=compile_plans(draft, kpis), requesters=requesters,
        )
    except ValidationError as error:
        raise AgreementError(f"agreement {draft.name}: {error.errors()[0]['msg']}") from error
    work = WorkDir(root, terms)
    work.terms_file.write_text(terms.model_dump_json(), encoding="utf-8")
    work.kpi_file.write_bytes(KPIS.dump_json(list(kpis)))
    return work
