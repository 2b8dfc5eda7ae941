"""Batches across requests: while the model is busy, what arrives waits together and goes through in one pass.

In: decoded squares (S, S, 3) of any request. Out: what the model says of each. There is no artificial delay: a single image on
an idle server starts at once, and the batch grows with the load. Does NOT cover: decoding, HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from advisor.errors import RequestError

Square = npt.NDArray[np.uint8]
Answer = TypeVar("Answer")


class Batcher(Generic[Answer]):
    """One model, one thread that runs it, and the images that wait for it.

    `most` bounds a batch, `waiting` the images that may wait. Use it inside of one event loop, as a context manager.
    """

    def __init__(self, model: Callable[[Square], Sequence[Answer]], *, most: int = 64, waiting: int = 256) -> None:
        self.model = model
        self.most = most
        self.waiting = waiting
        self.batches = 0
        self.images = 0
        self._queue: asyncio.Queue[tuple[Square, asyncio.Future[Answer]]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Batcher[Answer]:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while not self._queue.empty():
            _, future = self._queue.get_nowait()
            future.cancel()
        self._thread.shutdown(wait=True)

    @property
    def queued(self) -> int:
        """Images that wait at this moment."""
        return self._queue.qsize()

    async def submit(self, squares: list[Square]) -> list[Answer]:
        """Return what the model says of these squares, in their order.

        Raises RequestError with 503 where too many images wait already; whatever the model raised.
        """
        if self.queued + len(squares) > self.waiting:
            raise RequestError(503, f"{self.queued} images are waiting already; try again in a moment.")
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in squares]
        for square, future in zip(squares, futures, strict=True):
            self._queue.put_nowait((square, future))
        return list(await asyncio.gather(*futures))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self.most and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            batch = [item for item in batch if not item[1].cancelled()]  # whose client has gone
            if batch:
                await self._answer(loop, batch)

    async def _answer(self, loop: asyncio.AbstractEventLoop, batch: list[Any]) -> None:
        try:
            rows = await loop.run_in_executor(self._thread, self.model, np.stack([square for square, _ in batch]))
        except Exception as error:  # one batch's failure is its requests' alone
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        self.batches += 1
        self.images += len(batch)
        for (_, future), row in zip(batch, rows, strict=True):
            if not future.done():
                future.set_result(row)
