"""Errors of the policy package."""


class PolicyError(Exception):
    """Something in an agreement or a KPI is wrong; the message says found, expected and what to do."""


class NotToml(PolicyError):
    """A file's content is not TOML; whoever reads the file names it."""


class AgreementError(PolicyError):
    """An agreement's terms are incomplete, contradictory or unreadable."""


class PlanError(PolicyError):
    """A KPI program cannot be compiled to a plan that stays within its arithmetic bounds."""


class ChainError(PolicyError):
    """The chain's endpoint is unreachable, silent or contradicts what is pinned. Always a refusal."""
