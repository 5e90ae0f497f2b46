"""What can go wrong with the chain. Each is a policy.errors.ChainError, and each is a refusal to run."""

from collections.abc import Mapping
from typing import Any

from policy.errors import ChainError


class ChainUnreachable(ChainError):
    """The endpoint does not answer in time, or answers something that is not JSON-RPC."""


class ChainTimeout(ChainError):
    """A transaction was not mined, or a fact not final, in time. It may still happen."""


class ChainMismatch(ChainError):
    """The chain, the contract's code or a value contradicts what is pinned."""


class ChainStale(ChainError):
    """The newest block is too old or lies in the future: the endpoint is behind, or a clock is wrong."""


class ChainRefusal(ChainError):
    """The registry refused a transaction."""

    def __init__(self, rule: str, found: Mapping[str, Any], function: str) -> None:
        self.rule = rule
        """Name of the contract's error, e.g. QuotaExhausted; "Revert" when it gave none that we know."""
        self.found = dict(found)
        """The error's arguments by name."""
        facts = ", ".join(f"{name} {value}" for name, value in found.items()) or "no details"
        super().__init__(f"the registry refused {function}: {rule} ({facts}). {_NEXT_STEP.get(rule, _OTHERWISE)}")


_OTHERWISE = "Look up the error in contracts/src/interfaces/IAgreementRegistry.sol."
_NEXT_STEP = {
    "AgreementUnknown": "Propose the agreement first, or check that all use the same registry.",
    "AgreementNotInState": "States: 0 unknown, 1 proposed, 2 signed, 3 active, 4 suspended, 5 superseded, 6 revoked, "
                           "7 expired. Let every party sign and one activate, let who suspended it resume, or agree on "
                           "a new version.",
    "AgreementEnded": "States: 5 superseded, 6 revoked, 7 expired. What is superseded is ended by revoking its "
                      "successor; nothing follows a revocation but another agreement.",
    "AgreementNotLatest": "Supersede the last version that came into force.",
    "PartyLeftOut": "Name every party of the agreement that is superseded; others may join.",
    "AgreementNotYetValid": "Wait for the agreement's first day.",
    "PeriodRefused": "Agree on dates that are not over, the first before the last.",
    "AddressRefused": "Give every party, node and requester a key of its own; requesters are sorted by address.",
    "NotAParty": "Use the key whose address stands in the agreement.",
    "NotAnAttestor": "Use the node's key whose address stands in the agreement.",
    "NotARequester": "Agree on the requester in a new version.",
    "SignatureRefused": "Sign the same terms with the party's own key, for this chain and registry.",
    "QuotaExhausted": "Agree on a higher quota in a new version.",
    "RequesterQuotaExhausted": "Ask for what was released before, or agree on a higher quota in a new version.",
    "BudgetExhausted": "Agree on a higher budget in a new version.",
    "RunDiffers": "Authorise it for the requester and with the budget that it has, or give it up at all nodes first.",
    "RunNotInStage": "Stages: 0 unknown, 1 authorised, 2 released, 3 attested, 4 committed. A run is authorised first, "
                     "then attested, then committed; only one that nobody attested is given up.",
    "SequenceRefused": "Nothing: the run was authorised again since.",
    "AlreadyGivenUp": "Nothing: a run that was given up is not attested. It runs under another authorisation.",
}
