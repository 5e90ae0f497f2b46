"""web3's provider over HTTP, for callers that may be cancelled at any moment.

web3's own AsyncHTTPProvider takes one lock of the whole process in a thread for every request. A caller that is
cancelled meanwhile leaves the lock taken for good, and no request of the process is ever sent again
(https://github.com/ApeWorX/web3.py/issues/3867, open in web3 8.0.0). A node cancels what it does whenever an attempt
ends. This provider has a session of its own and needs no lock.
"""

from http import HTTPStatus
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

MAX_ANSWER_BYTES = 8 << 20
_HEADERS = {"Content-Type": "application/json"}


class HttpProvider(AsyncJSONBaseProvider):
    """JSON-RPC over HTTP in one event loop; `disconnect` it in the end.

    Every request has a connection of its own: one that an endpoint closed while it was idle cannot fail a request.
    """

    def __init__(self, url: str, timeout_seconds: float) -> None:
        super().__init__()
        self._url = url
        self._timeout = ClientTimeout(total=timeout_seconds)
        self._session: ClientSession | None = None

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Ask once.

        Raises:
            TimeoutError: no answer in time.
            aiohttp.ClientError: no connection, or another HTTP status than 200.
            ValueError: an answer of more than `MAX_ANSWER_BYTES`, or no JSON.
        """
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(force_close=True), headers=_HEADERS, timeout=self._timeout,
            )
        asked = self.encode_rpc_request(method, params)
        async with self._session.post(self._url, data=asked, raise_for_status=True, allow_redirects=False) as answer:
            if answer.status != HTTPStatus.OK:  # what is moved elsewhere does not raise by itself
                raise ClientError(f"HTTP status {answer.status} to {method}")
            parts, size = [], 0
            async for part in answer.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    raise ValueError(f"an answer of more than {MAX_ANSWER_BYTES} bytes to {method}")
        return self.decode_rpc_response(b"".join(parts))

    async def disconnect(self) -> None:
        """Close its connections; safe to call twice."""
        if self._session is not None:
            await self._session.close()
            self._session = None
