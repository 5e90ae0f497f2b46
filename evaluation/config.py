"""Configuration of the processes: TOML files, one a process, checked before anything starts."""

import codecs
import re
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    IPvAnyAddress,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from evaluation.errors import ConfigError
from policy.agreement import Terms
from policy.chain.finality import CLIENTS_OWN, Finality
from policy.chain.model import Deployment
from policy.chain.url import checked_url
from policy.errors import NotToml
from policy.faults import one_line
from policy.identity import NODES, RecipientIdentity
from policy.kpi import Kpi
from policy.plan import Plan
from policy.privacy import Rho
from policy.toml import read_toml
from streams.cluster import PROFILES, Broker
from streams.errors import ConfigurationError
from streams.security import read_login

_KPIS: TypeAdapter[tuple[Kpi, ...]] = TypeAdapter(tuple[Kpi, ...])
MODEL = TypeVar("MODEL", bound=BaseModel)
MOST_WINDOWS = 26
"""Scheduled windows that share one run."""


class Settings(BaseModel):
    """Common to all configurations: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BrokerSettings(Settings):
    """A Kafka cluster, and who this organisation is to it."""

    address: str
    """host:port, or several with commas between."""
    profile: Literal["apache", "apache-single", "embedded"] = "apache"
    """Three brokers or more, one broker, or the embedded one."""
    user: str | None = None
    password: Path | None = None
    """A file with the password alone, mode 0600."""
    authority: Path | None = None
    """PEM file of the cluster's authority."""

    @field_validator("address")
    @classmethod
    def _host_and_port(cls, address: str) -> str:
        for server in Broker(address).servers:
            host, _, port = server.rpartition(":")
            known = re.fullmatch(r"[^\s/@]+", host) and re.fullmatch(r"[0-9]{1,5}", port)
            if not known or not 1 <= int(port) <= 65_535:
                raise ValueError(
                    f"found {server!r}, expected host:port with a port from 1 to 65535, such as 127.0.0.1:9092. "
                    "Correct it"
                )
        return address

    def broker(self) -> Broker:
        """As clients take it.

        Raises:
            ValueError: the three parts of a login are not all there, or one cannot be used.
        """
        if self.user is None and self.password is None and self.authority is None:
            return Broker(self.address, PROFILES[self.profile])
        if self.user is None or self.password is None or self.authority is None:
            raise ValueError("user, password and authority belong together: give all three, or none")
        try:
            login = read_login(self.user, self.password, self.authority)
            login.context()
        except ConfigurationError as error:
            raise ValueError(str(error)) from error
        return Broker(self.address, PROFILES[self.profile], login)


def _broker(value: object) -> object:
    """host:port of an embedded broker, or a table (BrokerSettings)."""
    if isinstance(value, str):
        value = {"address": value, "profile": "embedded"}
    if not isinstance(value, dict):
        return value
    try:
        return BrokerSettings.model_validate(value).broker()
    except ValidationError as error:
        raise ValueError(one_line(error)) from error


KafkaBroker = Annotated[InstanceOf[Broker], BeforeValidator(_broker)]


class ChainSettings(Settings):
    """Where this organisation reads the chain, and which contract is pinned."""

    url: Annotated[str, AfterValidator(checked_url)]
    deployment: Deployment
    agreement_id: str
    finality: Finality = CLIENTS_OWN
    """By which block this organisation's process permits."""


class AgreedSettings(BaseModel):
    """What the configuration of a party, node or requester says of its agreement; all else is left aside."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    terms: Path
    chain: ChainSettings


class AuditedSettings(AgreedSettings):
    """The same, and where evidence lies if it is a node's."""

    number: int | None = Field(default=None, ge=0, lt=NODES)
    """Of the node."""
    state: Path | None = None


class Budget(Settings):
    """What an owner allows of a data set; the same for all agreements (evaluation.dataset)."""

    account: Path
    """The data set's file; made by the first agreement."""
    rho: Rho
    """What all agreements together may spend."""

    @field_validator("account")
    @classmethod
    def _one_place(cls, account: Path) -> Path:
        if not account.is_absolute():
            raise ValueError(
                f"account = {str(account)!r} depends on the folder in which a process is started, so that each "
                "agreement could have an account of its own; expected a path from the root"
            )
        return account


class PartySettings(Settings):
    """A data party's process. Keys lie in `keys`: see evaluation.party."""

    party: str
    terms: Path
    broker: KafkaBroker
    data: Path | None = None
    """Folder of the files that are replayed; without it others write to the source topic, such as `winnow replay`."""
    keys: Path
    chain: ChainSettings
    state: Path | None = None
    """Folder for local copies of shards' states: a start on this machine is quicker with one."""
    budget: Budget | None = None
    """Of the data set, over all agreements; without it each agreement is for itself."""


class NodeSettings(Settings):
    """An MPC node's process. Keys lie in `keys`: see evaluation.node."""

    number: int = Field(ge=0, lt=NODES)
    terms: Path
    broker: KafkaBroker
    keys: Path
    store: Path
    state: Path
    """Folder of what the node needs to go on after a restart."""
    chain: ChainSettings
    bind: IPvAnyAddress = IPv4Address("127.0.0.1")
    """Where it listens for its peers; the port is that of its endpoint in the agreement."""
    live: bool = False
    """Whether to wait for a peer that is away, however long; else the node ends after some attempts."""
    extra_plans: tuple[Path, ...] = ()
    """Plans (JSON) this node is told to run beside the agreement's; the gate decides."""
    workers: int = Field(default=1, ge=1, le=64)
    """Threads that compute for shards; each node chooses its own number."""
    batch_windows: int = Field(default=MOST_WINDOWS, ge=1, le=MOST_WINDOWS)
    """Most due windows that share one run."""
    stall_seconds: float = Field(default=60, gt=0)
    """A peer that is silent for this long in a run is given up."""
    attempt_seconds: float = Field(default=900, gt=0)
    """A peer that always answers just in time cannot stretch one attempt beyond this."""


class RecipientSettings(Settings):
    """A recipient's process. Keys lie in `keys`: see console.recipient."""

    recipient: str
    terms: Path
    kpis: Path
    """The KPI programs (JSON), for their texts."""
    broker: KafkaBroker
    keys: Path
    document: Path
    """Where the result document is written."""
    page_port: int = 0


class RequesterSettings(Settings):
    """A requester's commands: `winnow request` and `winnow schedule`. In `keys` lies `chain`: it signs requests."""

    requester: str
    terms: Path
    kpis: Path
    """The KPI programs (JSON), for their texts."""
    broker: KafkaBroker
    keys: Path
    recipient_keys: Path
    """Folder with the `sealing` key of the requester's recipient: whoever asks reads the answers as this recipient."""
    chain: ChainSettings


class AlertsSettings(Settings):
    """A recipient's alerts process. In `keys` lies `sealing`: it reads results as the recipient does."""

    recipient: str
    terms: Path
    kpis: Path
    """The KPI programs (JSON), for their texts."""
    broker: KafkaBroker
    keys: Path
    notify: Path
    """Addresses, one a line, mode 0600: see evaluation.courier."""
    folder: Path
    """For Faust; nothing of worth is kept there."""
    page: str | None = None
    """Address of the recipient's page, for the messages."""
    attempt_seconds: float = Field(default=30, gt=0)
    """A receiver that has not answered by then has not got the message."""
    first_retry_seconds: float = Field(default=2, gt=0)
    longest_retry_seconds: float = Field(default=900, gt=0)
    """Waiting between attempts doubles from the first to the longest."""
    give_up_seconds: float = Field(default=86_400, ge=0)
    """After so long since the change, a message that cannot be delivered is given up; that stays visible."""


class OperatorSettings(Settings):
    """How whoever runs the cluster reaches it: `winnow topics`."""

    broker: KafkaBroker


_KINDS: dict[type[BaseModel], tuple[str, str]] = {
    PartySettings: ("party", "a party"),
    NodeSettings: ("number", "a node"),
    RecipientSettings: ("document", "a recipient's console"),
    RequesterSettings: ("requester", "a requester"),
    AlertsSettings: ("notify", "a recipient's alerts"),
}
"""By which key each is known from the others, and whose it is."""


def load_settings(path: Path, model: type[MODEL]) -> MODEL:
    """Read a configuration.

    Raises:
        ConfigError: unreadable, not TOML, of another kind of process, or a field is missing or wrong; the message names
            it.
    """
    try:
        tables = read_toml(path)
    except OSError as error:
        raise ConfigError(f"configuration {path}: {error}") from error
    except NotToml as error:
        raise ConfigError(f"configuration {path} is not TOML: {error}") from error
    _check_kind(path, tables, model)
    try:
        return model.model_validate(tables)
    except ValidationError as error:
        raise ConfigError(f"configuration {path}: {one_line(error)}") from error


def _check_kind(path: Path, tables: Mapping[str, object], model: type[BaseModel]) -> None:
    kind = next((settings for settings, (mark, _) in _KINDS.items() if mark in tables), None)
    if kind is None:
        return
    found = f"{path} is the configuration of {_KINDS[kind][1]}"
    if model in _KINDS:
        mark, wanted = _KINDS[model]
        if mark not in tables:
            raise ConfigError(f"{found}, expected that of {wanted}. Name that one")
    elif issubclass(model, AgreedSettings) and "chain" not in tables and "chain" not in kind.model_fields:
        raise ConfigError(f"{found}, which has no [chain]; expected that of a party, a node or a requester. Name one")


def _json(path: Path) -> bytes:
    """A file's content without the byte order mark that Windows' editors put first, which says nothing."""
    return path.read_bytes().removeprefix(codecs.BOM_UTF8)


def load_kpis(path: Path) -> tuple[Kpi, ...]:
    """Read KPI programs (JSON).

    Raises:
        ConfigError: unreadable, or none.
    """
    try:
        return _KPIS.validate_json(_json(path))
    except OSError as error:
        raise ConfigError(f"KPI programs {path}: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"KPI programs {path}: {one_line(error)}. Expected a list of them, as JSON") from error


def load_plan(path: Path) -> Plan:
    """Read one plan (JSON).

    Raises:
        ConfigError: unreadable, or none.
    """
    try:
        return Plan.model_validate_json(_json(path))
    except OSError as error:
        raise ConfigError(f"plan {path}: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"plan {path}: {one_line(error)}. Expected one plan, as JSON") from error


def recipient_identity(terms: Terms, name: str) -> RecipientIdentity:
    """A recipient of the agreement.

    Raises:
        ConfigError: it has no such one.
    """
    found = {recipient.name: recipient for recipient in terms.recipients}
    if name not in found:
        raise ConfigError(f"recipient: no {name!r} in the agreement, which has {', '.join(found)}")
    return found[name]


def load_terms(path: Path) -> Terms:
    """Read signed terms (JSON).

    Raises:
        ConfigError: unreadable, or not terms.
    """
    try:
        return Terms.model_validate_json(_json(path))
    except OSError as error:
        raise ConfigError(f"terms {path}: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"terms {path}: {one_line(error)}. Expected the signed terms, as JSON") from error
