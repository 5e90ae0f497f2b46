"""Everything an evaluation on one machine needs on disk: throw-away keys, terms, and a configuration per process.

Each role's keys lie in a folder of its own, mode 0700. The link secret is copied to data parties only.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from console.assembly import put_together, write_terms
from console.keyring import Given, draw, node_role, roles
from evaluation.keys import KEY_BYTES, private_folder
from policy.agreement import Draft, Terms
from policy.identity import NODES
from policy.kpi import Kpi


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
    private_folder(root)
    parties, link = [p.name for p in draft.parties], secrets.token_bytes(KEY_BYTES)
    given = {name: Given(link=link) for name in parties} | {
        node_role(j): Given(organisation=parties[j % len(parties)], endpoint=f"127.0.0.1:{node_ports[j]}")
        for j in range(NODES)
    }
    terms = put_together(draft, kpis, [
        draw(_key_folder(root, role), draft, role, given.get(role, Given())) for role in roles(draft)
    ])
    write_terms(root, terms, kpis)
    return WorkDir(root, terms)
