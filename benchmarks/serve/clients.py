"""A bare HTTP/1.1 client over asyncio, so that the load costs as little of the machine as possible.

In: an address and the bytes of images. Out: latencies and decoded answers. Does NOT cover: redirects, TLS, chunked answers.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any


async def request(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    body: bytes,
    *,
    path: str = "/predict",
    kind: str = "image/jpeg",
) -> tuple[int, bytes]:
    """Send one request on an open connection; return status and body."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return await answer(reader)


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer with a known length. Raises EOFError where the connection was closed before."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")), 0)
    return int(lines[0].split()[1]), await reader.readexactly(length)


async def get(port: int, path: str) -> Any:
    """Return the JSON at a path."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
    _, body = await answer(reader)
    writer.close()
    return json.loads(body)


async def load(port: int, images: Sequence[bytes], *, clients: int, seconds: float, most: int = 1 << 60) -> list[float]:
    """Send one image after another from each of `clients` for so many seconds, `most` at most; return latencies in seconds."""
    latencies: list[float] = []
    sent = 0
    end = time.monotonic() + seconds

    async def one(number: int) -> None:
        nonlocal sent
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        position = number
        while time.monotonic() < end and sent < most:
            sent += 1
            begun = time.monotonic()
            status, _ = await request(reader, writer, images[position % len(images)])
            if status != 200:
                raise RuntimeError(f"status {status}")
            latencies.append(time.monotonic() - begun)
            position += clients
        writer.close()

    await asyncio.gather(*(one(number) for number in range(clients)))
    return latencies
