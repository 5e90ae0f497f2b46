"""Results on their way to a recipient: each node seals its own share of the outputs, the recipient recombines.

No node learns a result: a share alone is a uniformly random residue. Messages are sealed to the recipient
(HPKE, RFC 9180) and signed by the node (Ed25519).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluation.errors import Tampered
from mpc.tail.decode import CellResult, decode
from mpc.tail.recombine import recombine
from policy.agreement import Terms
from policy.alert import MAX_ALERTS
from policy.identity import NODES
from policy.plan import Plan
from policy.window import MAX_PANES

MAX_RESULT_BYTES = 8 << 20
Residue = Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]
_SIGNATURE_BYTES = 64
_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


class ReleasedCell(BaseModel):
    """Where an output belongs: the window's index and the stratum's position in the plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: int = Field(ge=0)
    stratum: int = Field(ge=0)


class KpiShares(BaseModel):
    """One node's shares of one KPI's outputs; every vector has one residue per released cell."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: str
    cells: tuple[ReleasedCell, ...]
    outputs: dict[str, tuple[Residue, ...]] = Field(max_length=64)
    """Output name → residues, hexadecimal."""


Windows = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(max_length=MAX_PANES)]


class AlertShares(BaseModel):
    """One node's shares of one alert's states after a run's windows; every state is 0 or 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alert: str
    windows: Windows
    """Indices of windows with a state, rising."""
    states: tuple[Residue, ...] = Field(max_length=MAX_PANES)
    no_data: Windows = ()
    """The run's windows of which the cell is not released, rising: they leave the state as it was."""

    @model_validator(mode="after")
    def _aligned(self) -> "AlertShares":
        rising = all(a < b for side in (self.windows, self.no_data) for a, b in pairwise(side))
        if len(self.states) != len(self.windows) or not rising or set(self.windows) & set(self.no_data):
            raise ValueError(f"alert {self.alert}: its states and windows do not belong together")
        return self


class ResultShares(BaseModel):
    """What one node sends one recipient after one run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agreement: str
    recipient: str
    node: int = Field(ge=0, lt=NODES)
    run: str
    kpis: tuple[KpiShares, ...]
    alerts: tuple[AlertShares, ...] = Field(default=(), max_length=MAX_ALERTS)


class AlertState(BaseModel):
    """An alert after a window, recombined; None: the window's cell is not released."""

    model_config = ConfigDict(frozen=True)

    alert: str
    window: int
    raised: bool | None


class Released(BaseModel):
    """A recombined output cell."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    kpi: str
    window: int
    cell: dict[str, str]
    unit: str
    result: CellResult
    private: bool = False
    """Whether it has noise."""

    def noise(self, *, interval: bool = False) -> Literal["in-interval", "unsaid"] | None:
        """What a release says of it: a sum, or the value with its interval if it has one."""
        if not self.private:
            return None
        return "in-interval" if interval and self.result.low is not None else "unsaid"


def seal_result(shares: ResultShares, recipient_key: str, signing_key: Ed25519PrivateKey) -> bytes:
    """Seal to the recipient, sign the sealed bytes."""
    info = f"winnow-result {shares.agreement}".encode()
    sealed = _SUITE.encrypt(
        shares.model_dump_json().encode(), X25519PublicKey.from_public_bytes(bytes.fromhex(recipient_key)), info
    )
    return bytes([shares.node]) + signing_key.sign(b"winnow-result\0" + sealed) + sealed


def open_result(message: bytes, recipient: str, key: X25519PrivateKey, terms: Terms) -> ResultShares:
    """Check the node's signature, unseal, and check that it is for this recipient and agreement.

    Raises:
        Tampered: size, signature, seal or contents are wrong; the message is not used.
    """
    head = 1 + _SIGNATURE_BYTES
    if not head < len(message) <= MAX_RESULT_BYTES or message[0] >= NODES:
        raise Tampered(f"a result message of {len(message)} bytes is not of this form; it is ignored")
    node, signature, sealed = message[0], message[1:head], message[head:]
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(terms.nodes[node].record_key)).verify(
            signature, b"winnow-result\0" + sealed
        )
        body = _SUITE.decrypt(sealed, key, f"winnow-result {terms.hash}".encode())
        shares = ResultShares.model_validate_json(body)
    except (InvalidSignature, InvalidTag, ValidationError, ValueError) as error:
        raise Tampered(f"a result of node {node} cannot be opened ({type(error).__name__}); it is ignored") from error
    if (shares.agreement, shares.recipient, shares.node) != (terms.hash, recipient, node):
        raise Tampered(f"a result of node {node} is meant for someone else; it is ignored")
    return shares


def combine(shares: Sequence[ResultShares], plans: Sequence[Plan]) -> list[Released]:
    """Recombine the three nodes' shares of a run and decode them.

    Raises:
        Tampered: the nodes disagree about what was released, or three shares do not fit one value.
        mpc.errors.IntegrityError: as raised by mpc.tail.recombine.
    """
    ordered = _one_run(shares)
    layouts = [[(k.plan, k.cells, tuple(k.outputs)) for k in s.kpis] for s in ordered]
    if layouts[1:] != layouts[:-1]:
        raise Tampered("the nodes disagree about which cells were released")
    by_hash = {p.hash: p for p in plans}
    released = []
    for position, kpi in enumerate(ordered[0].kpis):
        plan = by_hash.get(kpi.plan)
        if plan is None or any(cell.stratum >= len(plan.strata) for cell in kpi.cells):
            raise Tampered(f"a result of plan {kpi.plan[:16]} that the agreement does not have")
        outputs = {
            name: recombine([[int(v, 16) for v in s.kpis[position].outputs[name]] for s in ordered])
            for name in kpi.outputs
        }
        for cell, result in zip(kpi.cells, decode(plan, outputs), strict=True):
            released.append(Released(
                kpi=plan.kpi, window=cell.window, cell=plan.strata[cell.stratum].cell, unit=plan.unit, result=result,
                private=plan.privacy is not None,
            ))
    return released


def combine_alerts(shares: Sequence[ResultShares]) -> list[AlertState]:
    """Recombine the three nodes' shares of the alerts' states after a run, by alert and window.

    Raises:
        Tampered: the nodes disagree about alerts or windows, or a state is neither 0 nor 1.
        mpc.errors.IntegrityError: as raised by mpc.tail.recombine.
    """
    ordered = _one_run(shares)
    layouts = [[(a.alert, a.windows, a.no_data) for a in s.alerts] for s in ordered]
    if layouts[1:] != layouts[:-1] or len({a.alert for a in ordered[0].alerts}) != len(layouts[0]):
        raise Tampered("the nodes disagree about the alerts of a run")
    found = []
    for position, alert in enumerate(ordered[0].alerts):
        states = recombine([[int(v, 16) for v in s.alerts[position].states] for s in ordered], f"alert {alert.alert}")
        if not set(states) <= {0, 1}:
            raise Tampered(f"alert {alert.alert}: a state is neither 0 nor 1")
        by_window: dict[int, bool | None] = dict.fromkeys(alert.no_data)
        by_window |= {w: state == 1 for w, state in zip(alert.windows, states, strict=True)}
        found += [AlertState(alert=alert.alert, window=w, raised=by_window[w]) for w in sorted(by_window)]
    return found


def _one_run(shares: Sequence[ResultShares]) -> list[ResultShares]:
    if sorted(s.node for s in shares) != list(range(NODES)) or len({s.run for s in shares}) != 1:
        raise Tampered("expected one result of each of the three nodes for one run")
    return sorted(shares, key=lambda s: s.node)
