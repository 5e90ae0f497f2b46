"""Names in an agreement, after which folders, processes and topics are called; and endpoints of nodes."""

import re

NAME = r"^[a-z][a-z0-9-]{0,39}$"
"""Of parties, recipients, requesters and agreements."""
RESERVED_NAMES = re.compile(r"broker|chain|winnow|node-[0-9]+|alerts-.*|results|runs|requests|source")
"""Names of other processes, folders and topics, which a party, recipient or requester would collide with."""

_ENDPOINT = re.compile(r"(?:[^\s/@:\[\]]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5})")


def checked_endpoint(endpoint: str) -> str:
    """host:port as it is. Raises ValueError: anything else."""
    found = _ENDPOINT.fullmatch(endpoint)
    if found is None or not 1 <= int(found[1]) <= 65_535:
        raise ValueError(
            f"found {endpoint!r}, expected host:port with a port from 1 to 65535, such as node-0.example.org:7000"
        )
    return endpoint


def check_names(parties: list[str], recipients: list[str], requesters: list[str]) -> None:
    """Everyone has a folder, and parties and recipients topics of their own, named after them."""
    if len(set(parties)) != len(parties):
        raise ValueError(f"party names repeat: {', '.join(parties)}")
    for name in (*parties, *recipients, *requesters):
        if RESERVED_NAMES.fullmatch(name):
            raise ValueError(f"{name!r} is taken: a part of the system has that name. Choose another")
    if len(set(recipients)) != len(recipients):
        raise ValueError(f"recipient names repeat: {', '.join(recipients)}")
    if both := sorted(set(parties) & set(recipients)):
        raise ValueError(
            f"{', '.join(both)} is a party and a recipient; give the recipient another name, such as {both[0]}-team"
        )
    if len(set(requesters)) != len(requesters):
        raise ValueError(f"requester names repeat: {', '.join(requesters)}")
    if both := sorted(set(requesters) & {*parties, *recipients}):
        raise ValueError(
            f"{', '.join(both)} is a requester and a party or recipient; give the requester another name, such as "
            f"{both[0]}-analyst"
        )
