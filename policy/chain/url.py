"""The URL of a chain's endpoint, as an organisation types it: what it must be, and how much of it may be shown."""

import re
from urllib.parse import urlsplit


def place_of(url: str) -> str:
    """The endpoint without user, password, path or query: these may hold an access key.

    Raises:
        ValueError: no http or https URL with a host and, where there is one, a port from 1 to 65535.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # brackets that do not close, or a port that is none
        raise _wrong(url) from None
    if parts.scheme not in ("http", "https") or not host or port == 0 or re.search(r"\s", url):
        raise _wrong(url)
    return f"{parts.scheme}://{host}:{port or ''}".rstrip(":")


def checked_url(url: str) -> str:
    """The same URL, once it is known to be one.

    Raises:
        ValueError: see place_of.
    """
    place_of(url)
    return url


def _wrong(url: str) -> ValueError:
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    shown = scheme + mark + re.split(r"[/?#]", rest.rpartition("@")[2])[0]
    return ValueError(
        f"found {shown!r}, expected the http or https URL of a chain's endpoint, with a host and perhaps a port from "
        "1 to 65535, such as http://127.0.0.1:8545. Correct it"
    )
