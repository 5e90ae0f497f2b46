"""Errors of the mpc package: one family, so that a run can tell who has to act."""


class MpcError(Exception):
    """A joint computation could not go on; nothing was opened by the step that failed."""


class PeerLost(MpcError):
    """A peer's link broke, or the peer left or aborted the attempt. A new attempt may work."""


class PeerTimeout(MpcError):
    """A peer was connected but stayed silent for longer than agreed. A new attempt may work."""


class ProtocolError(MpcError):
    """A message or a call is outside the protocol: a label used twice, a wrong length, a limit passed."""


class IntegrityError(MpcError):
    """Two holders of the same thing disagree about it. Do not retry before finding out why."""


class LinkageError(MpcError):
    """The registers cannot be linked, or a column does not fit its register.

    `party` is the position of the party whose register or column it is, if it is one party's.
    """

    def __init__(self, message: str, party: int | None = None) -> None:
        super().__init__(message)
        self.party = party
