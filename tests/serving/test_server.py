"""The server's socket: what it is bound with."""

from __future__ import annotations

import asyncio
import socket

from advisor.serving import server


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """Asyncio sets TCP_NODELAY on accepted connections whose socket names its protocol; others answered 40 ms later."""

    async def without_delay() -> int:
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            accepted.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        bound = server.bind("127.0.0.1", 0)
        async with await asyncio.start_server(opened, sock=bound):
            _, writer = await asyncio.open_connection(*bound.getsockname())
            writer.close()
            return await accepted

    assert asyncio.run(without_delay()) != 0
