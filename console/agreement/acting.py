"""What a party does to an agreement on the chain: propose, sign, activate, suspend, resume, revoke.

The key may lie elsewhere than the party's other keys, and is read for this one act. What is so already is no error.
What a wallet has to sign or send itself is printed for it (console.agreement.elsewhere).
"""

import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from console.errors import ConsoleError
from console.output import standard_output
from console.passphrase import passphrase
from evaluation.agreement import open_registry, proposal
from evaluation.config import AgreedSettings, load_settings, load_terms
from evaluation.errors import EXIT_ENDED
from evaluation.keystore import read_chain_key
from policy.agreement import Terms

if TYPE_CHECKING:
    from policy.chain.registry import Registry

Act = Literal["propose", "sign", "activate", "suspend", "resume", "revoke"]
ASKS: Final[Mapping[Act, str]] = {
    "sign": "With this signature {party} agrees to the terms with hash {terms}: “{title}”.",
    "revoke": "After this nothing under “{title}” is computed any more, by nobody, in no version. It cannot be undone.",
}
"""Acts that are asked for once more, and what they mean."""
DONE: Final[Mapping[Act, str]] = {
    "propose": "Proposed. Each party signs now: winnow agreement sign.",
    "sign": "Signed by {party}.",
    "activate": "In force.",
    "suspend": "Suspended by {party}: no run is authorised until {party} resumes it.",
    "resume": "Resumed by {party}.",
    "revoke": "Revoked by {party}, for good.",
}


async def act(config: Path, what: Act, key_file: Path, *, yes: bool, as_json: bool) -> int:
    """Do one of the acts with a key, and say what came of it.

    Raises:
        ConsoleError: the key is no party's, or nobody confirmed what was asked.
        ConfigError: the configuration, the terms or the key file.
        policy.errors.ChainError: the endpoint or the registry refuses.
    """
    from policy.chain.signing import address_of

    settings = load_settings(config, AgreedSettings)
    terms = load_terms(settings.terms)
    key = read_chain_key(key_file, passphrase)
    party = _party(terms, address_of(key), what)
    if what in ASKS and not yes:
        confirm(what, party, terms)
    agreement = settings.chain.agreement_id
    async with open_registry(settings.chain, terms, key) as registry:
        await _acts(registry, terms, agreement, key)[what]()
        state = (await registry.view(agreement, "latest")).state
    tell(what, party, terms, agreement, state, as_json=as_json)
    return EXIT_ENDED


def tell(what: Act, party: str, terms: Terms, agreement: str, state: str, *, as_json: bool) -> None:
    """Say what came of an act."""
    with standard_output():
        if as_json:
            sys.stdout.write(json.dumps({"act": what, "party": party, "agreement": agreement, "state": state}) + "\n")
        else:
            sys.stdout.write(f"{DONE[what].format(**_words(party, terms))} At the newest block it is {state}.\n")


def confirm(what: Act, party: str, terms: Terms) -> None:
    """Ask once more.

    Raises:
        ConsoleError: nobody is there to be asked, or the answer is not yes.
    """
    meaning = ASKS[what].format(**_words(party, terms))
    if not sys.stdin.isatty():
        raise ConsoleError(f"{meaning} Add --yes to say so without being asked.")
    sys.stderr.write(f"{meaning}\nType yes to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != "yes":
        raise ConsoleError("nothing was sent.")


def _words(party: str, terms: Terms) -> dict[str, str]:
    return {"party": party, "terms": terms.hash, "title": terms.draft.title.en}


def _acts(
    registry: "Registry", terms: Terms, agreement: str, key: bytes
) -> Mapping[Act, Callable[[], Awaitable[object]]]:
    return {
        "propose": lambda: registry.propose(proposal(terms)), "sign": lambda: registry.sign(agreement, key),
        "activate": lambda: registry.activate(agreement), "suspend": lambda: registry.suspend(agreement),
        "resume": lambda: registry.resume(agreement), "revoke": lambda: registry.revoke(agreement),
    }


def _party(terms: Terms, address: str, what: Act) -> str:
    """Whose key it is; anybody may propose."""
    names = {identity.address.lower(): identity.name for identity in terms.parties}
    name = names.get(address.lower())
    if name is None and what != "propose":
        known = ", ".join(f"{identity.name} {identity.address}" for identity in terms.parties)
        raise ConsoleError(f"the key is that of {address}, which is no party. The agreement has {known}.")
    return name or address
