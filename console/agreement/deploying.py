"""The registry onto a chain of the parties' own, once; and what configurations then say of it."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import AfterValidator, ValidationError

from console.output import standard_output
from console.passphrase import passphrase
from evaluation.agreement import proposal
from evaluation.config import Settings, load_terms
from evaluation.errors import EXIT_ENDED, ConfigError
from evaluation.keystore import read_chain_key
from policy.chain.finality import CLIENTS_OWN, Finality
from policy.chain.model import Deployment
from policy.chain.url import checked_url
from policy.errors import NotToml
from policy.faults import one_line
from policy.toml import read_toml


class _Chain(Settings):
    """A registry's place, as `deploy` prints it."""

    url: Annotated[str, AfterValidator(checked_url)] | None = None
    agreement_id: str | None = None
    """Of other terms, or of none."""
    deployment: Deployment
    finality: Finality = CLIENTS_OWN


class _File(Settings):
    chain: _Chain


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
    _tell(chain, as_json=as_json)
    return EXIT_ENDED


async def identify(terms: Path, file: Path, *, as_json: bool) -> int:
    """Print `[chain]` of a file with the id that these terms have on that registry; the chain is not asked.

    Raises:
        ConfigError: the terms, or the file.
    """
    from policy.chain.signing import agreement_id

    agreed = load_terms(terms)
    try:
        chain = _File.model_validate(read_toml(file)).chain
    except OSError as error:
        raise ConfigError(f"registry {file}: {error.strerror}.") from error
    except NotToml as error:
        raise ConfigError(f"registry {file} is not TOML: {error}") from error
    except ValidationError as error:
        raise ConfigError(
            f"registry {file}: {one_line(error)}. Expected [chain] as winnow agreement deploy printed it"
        ) from error
    found = chain.model_dump(exclude_unset=True)
    _tell(found | {"agreement_id": agreement_id(chain.deployment, proposal(agreed))}, as_json=as_json)
    return EXIT_ENDED


def _tell(chain: Mapping[str, Any], *, as_json: bool) -> None:
    with standard_output():
        sys.stdout.write(json.dumps({"chain": chain}) + "\n" if as_json else tomli_w.dumps({"chain": chain}))
