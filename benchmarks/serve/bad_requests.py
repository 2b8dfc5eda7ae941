"""Requests that no server should see, and what it says to each: cut, huge, of the wrong type, slow, and plain noise.

In: a port. Out: how often each kind got which status ("closed": the connection was closed without one).
"""

from __future__ import annotations

import asyncio
import random
import struct
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable

import clients


def png_bomb(side: int = 60_000) -> bytes:
    """Return a small PNG whose header promises `side` x `side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


async def send(
    port: int, body: bytes, *, kind: str = "image/jpeg", stated: int | None = None, wait_s: float = 20.0
) -> str:
    """Send a body, of which `stated` bytes are announced; return the status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    length = len(body) if stated is None else stated
    head = f"POST /predict HTTP/1.1\r\nHost: bench\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    try:
        writer.write(head.encode() + body)
        await writer.drain()
        if len(body) < length:
            await asyncio.sleep(0.05)
            writer.write_eof()
        status, _ = await asyncio.wait_for(clients.answer(reader), wait_s)
        return str(status)
    except (EOFError, ConnectionError, TimeoutError):
        return "closed"
    finally:
        writer.close()


async def noise(port: int, data: bytes) -> str:
    """Send bytes that are no HTTP."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data + b"\r\n\r\n")
        status, _ = await asyncio.wait_for(clients.answer(reader), 5)
        return str(status)
    except (EOFError, ConnectionError, TimeoutError, ValueError, IndexError, asyncio.LimitOverrunError):
        return "closed"
    finally:
        writer.close()


async def slow(port: int, body: bytes) -> str:
    """Send a body byte by byte, more slowly than the server waits."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST /predict HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    response = asyncio.create_task(clients.answer(reader))
    try:
        for index in range(100):
            writer.write(body[index : index + 1])
            done, _ = await asyncio.wait({response}, timeout=1.0)
            if done:
                return str(response.result()[0])
        return "accepted"
    except (EOFError, ConnectionError):
        return "closed"
    finally:
        response.cancel()
        writer.close()


async def all_of_them(port: int, image: bytes, count: int, seed: int = 0) -> dict[str, dict[str, int]]:
    """Send `count` bad requests of all kinds, 20 at a time."""
    draw = random.Random(seed)
    form = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n' + image[:200]
    kinds: dict[str, Callable[[], Awaitable[str]]] = {
        "cut image": lambda: send(port, image[: draw.randrange(1, len(image) - 200)]),
        "cut body": lambda: send(port, image[: len(image) // 2], stated=len(image)),
        "body of 200 MB announced": lambda: send(port, image, stated=200_000_000),
        "body of 40 MB sent": lambda: send(port, b"\xff\xd8\xff" + bytes(40_000_000)),
        "60,000 x 60,000 pixels": lambda: send(port, png_bomb()),
        "text as an image": lambda: send(port, b"hello " * 100),
        "empty body": lambda: send(port, b""),
        "random bytes": lambda: send(port, draw.randbytes(5_000)),
        "cut form": lambda: send(port, form, kind="multipart/form-data; boundary=b"),
        "form without boundary": lambda: send(port, form, kind="multipart/form-data"),
        "no HTTP": lambda: noise(port, draw.randbytes(200)),
    }
    counts: dict[str, Counter[str]] = {name: Counter() for name in (*kinds, "one byte per second")}
    gate = asyncio.Semaphore(20)

    async def one(name: str) -> None:
        async with gate:
            counts[name][await kinds[name]()] += 1

    async def one_slow() -> None:
        counts["one byte per second"][await slow(port, image)] += 1

    names = list(kinds)
    slow_ones = [one_slow() for _ in range(min(20, count // 10))]
    rest = [one(names[index % len(names)]) for index in range(count - len(slow_ones))]
    await asyncio.gather(*slow_ones, *rest)
    return {name: dict(sorted(counter.items())) for name, counter in counts.items()}
