"""One HTTP connection whose request heads must arrive in time: uvicorn bounds the wait between requests, not within a head.

In: bytes of a client. Out: uvicorn's own protocol, which answers 408 and closes where a head is not complete after `HEAD_S`.
Does NOT cover: the body of a request (`body`).
"""

from __future__ import annotations

import asyncio
import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0  # from the connection, or from a later request's first byte, to the end of its headers


class BoundedHeadProtocol(H11Protocol):
    """uvicorn's protocol of HTTP/1.1, with a limit on the time that the head of each request may take."""

    head_s = HEAD_S
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: a client that connects and sends nothing holds a connection too."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Read bytes; stop the clock when a head is complete, and start it at the first bytes of the next one."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._expect_head()
        else:
            self._stop_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clock with the connection."""
        self._stop_clock()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_s, self._head_is_late)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _head_is_late(self) -> None:
        self._deadline = None
        if self.transport.is_closing() or self.conn.their_state is not h11.IDLE or self.conn.our_state is not h11.IDLE:
            return
        if self.conn.trailing_data[0]:  # a part of a head; a connection that was never used is closed without a word
            message = {"error": f"the head of the request did not arrive within {self.head_s:.0f} s."}
            headers = [("content-type", "application/json"), ("connection", "close")]
            for event in (
                h11.Response(status_code=408, headers=headers, reason=b"Request Timeout"),
                h11.Data(data=json.dumps(message).encode()),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
