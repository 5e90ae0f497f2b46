"""Signed requests as messages on the `requests` topic: JSON of at most 4 KiB.

Only their form is checked here; whether the signature is the requester's is a rule of the gate (policy.gate), so that
a refusal can say so.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation.errors import Tampered
from policy.chain.model import Deployment
from policy.request import Demand

MAX_REQUEST_BYTES = 4096


class SignedDemand(BaseModel):
    """A demand and its signature: r ‖ s ‖ v, hexadecimal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    demand: Demand
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{130}$")]

    def digest(self, deployment: Deployment, agreement_id: str) -> str:
        """The request's id, 64 hexadecimal digits: the digest that is signed."""
        from policy.chain.signing import demand_digest

        return demand_digest(deployment, agreement_id, self.demand)

    def signer(self, deployment: Deployment, agreement_id: str) -> str | None:
        """The address that signed for this contract and agreement; None if it is no signature at all."""
        from policy.chain.signing import demand_signer

        return demand_signer(deployment, agreement_id, self.demand, bytes.fromhex(self.signature))


def seal_request(demand: Demand, deployment: Deployment, agreement_id: str, key: bytes) -> bytes:
    """Sign a demand.

    Raises:
        ValueError: the key is malformed, or the message would exceed MAX_REQUEST_BYTES.
    """
    from policy.chain.signing import sign_demand

    signature = sign_demand(deployment, agreement_id, demand, key).hex()
    message = SignedDemand(demand=demand, signature=signature).model_dump_json().encode()
    if len(message) > MAX_REQUEST_BYTES:
        raise ValueError(f"a request of {len(message)} bytes, at most {MAX_REQUEST_BYTES} are taken; ask for less")
    return message


def open_request(message: bytes) -> SignedDemand:
    """Check a message's size and form.

    Raises:
        Tampered: too large, or not a request.
    """
    if len(message) > MAX_REQUEST_BYTES:
        raise Tampered(f"a request of {len(message)} bytes, at most {MAX_REQUEST_BYTES} are taken; it is ignored")
    try:
        return SignedDemand.model_validate_json(message)
    except ValidationError as error:
        raise Tampered(f"not a request: {error.errors()[0]['msg']}; it is ignored") from error
