"""The privacy budget of a data set over all agreements that it is used for, kept by its owner (ADR 32).

The account is a file of the owner's, outside of any agreement's folders. An agreement reserves in it what all its
versions may spend (`quota.rho`), before the party shares anything. What is reserved stays so: nobody can say later that
released figures told nothing. An agreement that reads the party's columns for a KPI without privacy tells an unlimited
amount, so a data set with a budget is not used for it.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation.agreement import in_words
from evaluation.config import Budget
from evaluation.errors import ConfigError, Refused
from policy.agreement import Terms
from policy.gate import Refusal
from policy.privacy import in_rho, units
from streams.durable import replace_file

RULE = "data-set-budget"
LOCK_SECONDS = 10.0
"""For other processes of this party that look at the account; each takes milliseconds."""
LOOK_SECONDS = 0.05


class Reserved(BaseModel):
    """What one agreement holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    units: int = Field(ge=1)
    """Millionths of ρ, for all versions."""
    versions: tuple[str, ...]
    """Their ids on the chain."""


class Account(BaseModel):
    """The file's content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agreements: tuple[Reserved, ...] = ()

    def having(self, agreement: str, supersedes: str | None, asked: int) -> "Account":
        """With an agreement's version, whose `asked` units are for all versions together."""
        mine = [r for r in self.agreements if agreement in r.versions or supersedes in r.versions]
        others = tuple(r for r in self.agreements if r not in mine)
        versions = dict.fromkeys((*(version for r in mine for version in r.versions), agreement))
        most = max(asked, *(r.units for r in mine), 0)
        return Account(agreements=(*others, Reserved(units=most, versions=tuple(versions))))

    @property
    def units(self) -> int:
        """Reserved by all agreements."""
        return sum(reserved.units for reserved in self.agreements)


def reserve(budget: Budget, terms: Terms, agreement: str, party: str, spent: int = 0) -> None:
    """Reserve what an agreement may spend of a party's data set; again is no more.

    Args:
        budget: the owner's.
        terms: of the agreement, which is in force.
        agreement: its id on the chain.
        party: the owner.
        spent: millionths of ρ that the chain says all versions spent: more than this one's quota, if earlier versions
            spent it when this account did not know them.

    Raises:
        Refused: it goes beyond what the owner allows, or has KPIs without privacy from this party's columns.
        ConfigError: the account cannot be read or written, or is in use all the time.
    """
    exact = [p.kpi for p in terms.plans if p.privacy is None and party in {column.party for column in p.columns}]
    if exact:
        raise _refused(f"no privacy of {', '.join(exact)}", "privacy of every KPI that reads this party's columns",
                       "agree on it in a new version, or use another data set")
    if terms.draft.quota.rho is None:
        return  # nothing is made of this party's columns
    try:
        budget.account.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(budget.account):
            known = _read(budget.account)
            asked = max(units(terms.draft.quota.rho), spent)
            account = known.having(agreement, terms.draft.supersedes, asked)
            allowed = units(budget.rho)
            if account.units > max(allowed, known.units):
                left = in_rho(max(allowed - known.units, 0))
                raise _refused(
                    f"ρ = {left} left of {budget.rho}; {len(known.agreements)} agreements have {in_rho(known.units)}",
                    f"{in_rho(account.units - known.units)} more for this one",
                    "agree on a lower quota.rho, or allow more in this party's configuration",
                )
            if account != known:
                replace_file(budget.account, account.model_dump_json(indent=1).encode())
    except OSError as error:
        raise ConfigError(f"the privacy account {budget.account} cannot be used: {error}.") from error


def _refused(found: str, required: str, step: str) -> Refused:
    return Refused(in_words(Refusal(RULE, found, required, step)))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone with the account, until this process ends at the latest."""
    end = time.monotonic() + LOCK_SECONDS
    with os.fdopen(os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600), "rb") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise ConfigError(
                        f"another process held {path} for {LOCK_SECONDS:g} s; expected milliseconds. End that one."
                    ) from None
                time.sleep(LOOK_SECONDS)
        yield


def _read(path: Path) -> Account:
    try:
        return Account.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Account()
    except ValidationError:
        raise ConfigError(
            f"{path} is no privacy account, or damaged. Restore it: without it, what other agreements hold would be "
            "forgotten."
        ) from None  # its text holds what is in the file
