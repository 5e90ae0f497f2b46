"""The registry onto a chain of the parties' own, once; and what configurations then say of it."""

import json
import sys
from pathlib import Path

import tomli_w

from console.output import standard_output
from console.passphrase import passphrase
from evaluation.agreement import proposal
from evaluation.config import load_terms
from evaluation.errors import EXIT_ENDED, ConfigError
from evaluation.keystore import read_chain_key
from policy.chain.finality import CLIENTS_OWN, Finality
from policy.chain.url import checked_url


async def deploy_registry(url: str, key_file: Path, terms: Path | None, confirmations: int, *, as_json: bool) -> int:
    """Deploy this version's registry, wait until it is final, and print `[chain]` for the configurations.

    Raises:
        ConfigError: the URL, the key file or the terms.
        policy.errors.ChainError: the endpoint refuses, or does not answer.
        ValueError: a number of confirmations that cannot be.
    """
    from policy.chain.deployment import deploy
    from policy.chain.signing import agreement_id

    try:
        checked_url(url)
    except ValueError as error:
        raise ConfigError(f"URL: {error}.") from error
    finality = Finality(tag=False, confirmations=confirmations) if confirmations else CLIENTS_OWN
    agreed = None if terms is None else load_terms(terms)
    deployment = await deploy(url, read_chain_key(key_file, passphrase), finality=finality)
    chain = {
        "url": url,
        **({} if agreed is None else {"agreement_id": agreement_id(deployment, proposal(agreed))}),
        "deployment": deployment.model_dump(),
        **({} if finality == CLIENTS_OWN else {"finality": finality.model_dump()}),
    }
    with standard_output():
        said = json.dumps({"chain": chain}) + "\n" if as_json else tomli_w.dumps({"chain": chain})
        sys.stdout.write(said)
    return EXIT_ENDED
