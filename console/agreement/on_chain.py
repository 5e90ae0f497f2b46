"""The commands of `winnow agreement` that are about an agreement's life on the chain."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from console.agreement.commands import agreement
from console.errors import ConsoleError
from console.options import Whole
from policy.chain.finality import MAX_CONFIRMATIONS

if TYPE_CHECKING:
    from console.agreement.acting import Act

__all__ = ["agreement"]


@agreement.command
def show(config: Path, /, *, at: str = "latest", json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Say where an agreement stands on the chain: state, who has not signed, who suspends it, what was used.

    Exit codes: 0 printed, 2 usage, 5 the chain does not answer, or wrongly; 6 the id is of other terms.

    Args:
        config: a party's, node's or requester's configuration (TOML), of this organisation: it has terms and chain.
        at: latest, finalized (what nodes go by), or the number of a block.
        json: print one JSON document.
    """
    from console.agreement.standing import show as look
    from console.request import run_command

    return run_command(look(config, at, as_json=json))


@agreement.command
def check(
    config: Path,
    /,
    *,
    kpi: Annotated[list[str] | None, Parameter(negative=())] = None,
    window: str | None = None,
    requester: str | None = None,
    at: str = "latest",
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Say what every rule of the gate would say of a run, at any block; nothing is sent.

    Exit codes: 0 no rule refuses, 2 usage, 3 a rule refuses, 5 the chain does not answer, or wrongly;
    6 the id is of other terms.

    Args:
        config: a party's, node's or requester's configuration (TOML), of this organisation: it has terms and chain.
        kpi: a KPI that would run, several times for more; by default all of the agreement.
        window: START/END, the first day and the first day after it; by default none, as when registers are linked.
        requester: on whose demand; by default on schedule.
        at: latest, finalized (what nodes go by), or the number of a block.
        json: print one JSON document.
    """
    from console.agreement.standing import Asked
    from console.agreement.standing import check as look
    from console.request import run_command

    asked = Asked(tuple(kpi or ()), window, requester)
    return run_command(look(config, asked, at, as_json=json))


@agreement.command
def history(
    config: Path, /, *, first: Whole = 0, at: str = "latest", json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Say what happened to an agreement on the chain, in order: who signed, suspended, authorised and attested when.

    Compared with how the contract says that it stands: an endpoint that leaves events out is found out.

    Exit codes: 0 printed, 2 usage, 5 the chain does not answer, or contradicts itself; 6 the id is of other terms.

    Args:
        config: a party's, node's or requester's configuration (TOML), of this organisation: it has terms and chain.
        first: the block to begin with; on a long chain one shortly before the agreement was proposed.
        at: up to which block: latest, finalized (what nodes go by), or a number.
        json: print one JSON document.
    """
    from console.agreement.standing import history as look
    from console.request import run_command

    return run_command(look(config, first, at, as_json=json))


@agreement.command
def propose(config: Path, /, *, key: Path, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Write an agreement on the chain, for its parties to sign. Anybody may, and pays.

    Exit codes, as of sign, activate, suspend, resume and revoke: 0 done, or so already; 2 usage; 5 the chain refuses,
    or does not answer, or wrongly; 6 the id is of other terms.

    Args:
        config: a party's, node's or requester's configuration (TOML), of this organisation: it has terms and chain.
        key: file of the key that pays: 64 hexadecimal digits, or a keystore; mode 600.
        json: print one JSON document.
    """
    return _act(config, "propose", key, yes=True, as_json=json)


@agreement.command
def sign(
    config: Path,
    /,
    *,
    key: Path | None = None,
    signature: str | None = None,
    party: str | None = None,
    typed: Annotated[bool, Parameter(negative=())] = False,
    yes: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Sign an agreement as a party. Read `winnow agreement summary` of the same terms first.

    A signature that was made elsewhere, by a device or by a wallet that is a contract (ERC-1271), is checked and
    brought in with --signature and --party; whatever key there is pays.

    Args:
        config: a party's, node's or requester's configuration (TOML), of this organisation: it has terms and chain.
        key: file of the party's key: 64 hexadecimal digits, or a keystore; mode 600.
        signature: one that was made elsewhere, in hexadecimal digits.
        party: whose signature that is, by its name in the agreement.
        typed: print what has to be signed elsewhere (EIP-712 typed data), and send nothing.
        yes: do not ask once more.
        json: print one JSON document.
    """
    if typed:
        if key is not None or signature is not None or party is not None:
            raise ConsoleError("--typed prints what has to be signed: give it without --key, --signature and --party.")
        from console.agreement.elsewhere import show_typed_data
        from console.request import run_command

        return run_command(show_typed_data(config))
    if (signature is None) != (party is None):
        raise ConsoleError("--signature and --party belong together: give both, or neither.")
    if signature is None or party is None:
        return _act(config, "sign", key, yes=yes, as_json=json)
    from console.agreement.elsewhere import Made, bring_in
    from console.request import run_command

    return run_command(bring_in(config, Made(party, signature), _needed(key), yes=yes, as_json=json))


@agreement.command
def activate(
    config: Path,
    /,
    *,
    key: Path | None = None,
    call: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Bring an agreement into force that all parties have signed; what it supersedes ends.

    Args:
        config: a party's, node's or requester's configuration (TOML), of this organisation: it has terms and chain.
        key: file of a party's key: 64 hexadecimal digits, or a keystore; mode 600.
        call: print the transaction, which a party that is a contract has to send itself, and send nothing.
        json: print one JSON document.
    """
    return _act(config, "activate", key, yes=True, as_json=json, call=call)


@agreement.command
def suspend(
    config: Path,
    /,
    *,
    key: Path | None = None,
    call: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Stop an agreement for now: no run is authorised, and what is under way opens nothing more, until you resume it.

    Args:
        config: a party's, node's or requester's configuration (TOML), of this organisation: it has terms and chain.
        key: file of a party's key: 64 hexadecimal digits, or a keystore; mode 600.
        call: print the transaction, which a party that is a contract has to send itself, and send nothing.
        json: print one JSON document.
    """
    return _act(config, "suspend", key, yes=True, as_json=json, call=call)


@agreement.command
def resume(
    config: Path,
    /,
    *,
    key: Path | None = None,
    call: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """End your own suspension of an agreement.

    Args:
        config: a party's, node's or requester's configuration (TOML), of this organisation: it has terms and chain.
        key: file of the key that suspended it: 64 hexadecimal digits, or a keystore; mode 600.
        call: print the transaction, which a party that is a contract has to send itself, and send nothing.
        json: print one JSON document.
    """
    return _act(config, "resume", key, yes=True, as_json=json, call=call)


@agreement.command
def revoke(
    config: Path,
    /,
    *,
    key: Path | None = None,
    call: Annotated[bool, Parameter(negative=())] = False,
    yes: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """End an agreement for good, as any party may alone.

    Args:
        config: a party's, node's or requester's configuration (TOML), of this organisation: it has terms and chain.
        key: file of a party's key: 64 hexadecimal digits, or a keystore; mode 600.
        call: print the transaction, which a party that is a contract has to send itself, and send nothing.
        yes: do not ask once more.
        json: print one JSON document.
    """
    return _act(config, "revoke", key, yes=yes, as_json=json, call=call)


@agreement.command
def deploy(
    url: str,
    /,
    *,
    key: Path,
    terms: Path | None = None,
    confirmations: Annotated[Whole, Parameter(validator=validators.Number(gte=0, lte=MAX_CONFIRMATIONS))] = 0,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Put the registry onto a chain, once for all agreements, and print what configurations say of it.

    Whoever does it gets no right over the contract.

    Exit codes: 0 deployed and final, 2 usage or key file, 5 the chain refuses, or does not answer.

    Args:
        url: HTTP JSON-RPC endpoint of this organisation's own client.
        key: file of a key that can pay, any key where gas is free: 64 hexadecimal digits, or a keystore; mode
            600.
        terms: the terms (JSON), to print their agreement_id there.
        confirmations: blocks on top of a final one, 1 to 100, if the client knows no finalized block; 0 if it does.
        json: print one JSON document.
    """
    from console.agreement.deploying import deploy_registry
    from console.request import run_command

    return run_command(deploy_registry(url, key, terms, confirmations, as_json=json))


@agreement.command(name="id")
def identify(terms: Path, chain: Path, /, *, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Print what configurations say of these terms on a registry that is there: its file, with their agreement_id.

    The chain is not asked: the id follows from the terms and the registry.

    Exit codes: 0 printed, 2 a file is wrong.

    Args:
        terms: the terms (JSON).
        chain: a file (TOML) with [chain], as deploy printed it.
        json: print one JSON document.
    """
    from console.agreement.deploying import identify as look
    from console.request import run_command

    return run_command(look(terms, chain, as_json=json))


def _act(config: Path, what: "Act", key: Path | None, *, yes: bool, as_json: bool, call: bool = False) -> int:
    from console.agreement.acting import act
    from console.agreement.elsewhere import show_call
    from console.request import run_command

    if call:
        if key is not None:
            raise ConsoleError("--call prints what a contract has to send: give it without --key.")
        return run_command(show_call(config, what))
    return run_command(act(config, what, _needed(key), yes=yes, as_json=as_json))


def _needed(key: Path | None) -> Path:
    if key is None:
        raise ConsoleError("found no --key, expected the file of a key. Name it; docs/agreements.md says more.")
    return key
