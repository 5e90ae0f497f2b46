"""Where a Kafka cluster is, what it can do, who we are to it, and what is said when it fails us."""

from dataclasses import dataclass, replace
from typing import Any

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)

from streams.errors import BrokerError
from streams.security import MECHANISM, Login

REQUEST_SECONDS = 15.0
"""A machine that does too much at once may keep a broker from answering for some seconds; `watch` sees at once that one
is gone."""
SEND_SECONDS = 45.0
"""Longest wait for the acknowledgement of a batch, retries included."""

_FORBIDDEN = (
    ClusterAuthorizationFailedError, GroupAuthorizationFailedError, SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)


@dataclass(frozen=True)
class BrokerProfile:
    """What differs between brokers."""

    name: str
    fetch_wait_ms: int
    """The embedded broker always sleeps this out, so it sets the latency; Apache Kafka answers at once."""
    idempotent: bool
    """The embedded broker refuses the idempotent producer's handshake."""
    retention: bool
    """Whether topics take settings: retention, and compaction."""
    fresh: bool
    """A topic that exists already is an error: the data of the embedded broker dies with it."""
    outage_seconds: float
    """How long no broker at all may answer. Clients go on when one comes back in time; what the embedded broker had
    does not come back."""
    replication: int
    """Copies of every partition."""
    in_sync: int
    """Copies that must have a record before it counts as sent."""


EMBEDDED = BrokerProfile(
    "embedded", fetch_wait_ms=15, idempotent=False, retention=False, fresh=True, outage_seconds=0.0, replication=1,
    in_sync=1,
)
APACHE = BrokerProfile(
    "apache", fetch_wait_ms=500, idempotent=True, retention=True, fresh=False, outage_seconds=40.0, replication=3,
    in_sync=2,
)
"""Three brokers or more: any one may be lost at any time."""
APACHE_SINGLE = replace(APACHE, name="apache-single", replication=1, in_sync=1)
"""One broker: it may be restarted, and what its disk loses is lost."""
PROFILES = {profile.name: profile for profile in (EMBEDDED, APACHE, APACHE_SINGLE)}


@dataclass(frozen=True)
class Broker:
    """Where the brokers are, what they can do, and who we are to them."""

    address: str
    """host:port, or several with commas between: any of them tells where the others are."""
    profile: BrokerProfile = EMBEDDED
    login: Login | None = None
    """None: neither TLS nor a user, as the embedded broker wants it."""

    @property
    def servers(self) -> list[str]:
        """Every host:port of the address."""
        return [server.strip() for server in self.address.split(",")]

    def settings(self) -> dict[str, Any]:
        """How a client reaches the brokers and says who it is.

        Raises:
            ConfigurationError: the authority's certificate cannot be read.
        """
        found: dict[str, Any] = {
            "bootstrap_servers": self.servers, "request_timeout_ms": int(REQUEST_SECONDS * 1000),
            "retry_backoff_ms": 100, "metadata_max_age_ms": 30_000,
        }
        if self.login is not None:
            found |= {
                "security_protocol": "SASL_SSL", "ssl_context": self.login.context(), "sasl_mechanism": MECHANISM,
                "sasl_plain_username": self.login.user, "sasl_plain_password": self.login.password,
            }
        return found


def lost(broker: Broker, doing: str, error: BaseException) -> BrokerError:
    """What to raise when `doing` something failed with a client's error."""
    user = "" if broker.login is None else f" as user {broker.login.user}"
    if isinstance(error, _FORBIDDEN):
        advice = f"It does not let us{user}, or the topic is not there: check topics, users and access rules."
    else:
        advice = f"Check that it runs{', and that it knows the user and the password' if user else ''}."
    return BrokerError(f"broker {broker.address}: {doing} failed ({type(error).__name__}). {advice}")
