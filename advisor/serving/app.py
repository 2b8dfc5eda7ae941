"""The web application: POST /predict, GET /health, /model, /report, /openapi.json, /docs, and the page at /.

In: a predictor and the run's files. Out: a FastAPI application without any request to another host. Does NOT cover:
sockets and signals (`server`), forming batches (`batcher`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse

from advisor._version import __version__
from advisor.data import image_inputs
from advisor.errors import RequestError, TransientReadError
from advisor.metrics.decision_rule import decide
from advisor.models.predict import UNKNOWN, check_abstain, json_document, json_row
from advisor.records import Unreadable
from advisor.runtime import json_records
from advisor.serving import body, policy
from advisor.serving.batcher import Batcher
from advisor.serving.engines import Engine, in_torch
from advisor.serving.limits import ServerLimits, check_header
from advisor.serving.openapi import DESCRIPTION, PREDICT, page

PAGE = Path(__file__).parent / "page"
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
log = logging.getLogger("tl_advise.serve")


class Service:
    """What the routes share: the model behind its batches, threads that decode, the limits."""

    def __init__(
        self,
        predictor: Any,
        run: Path,
        limits: ServerLimits,
        *,
        engine: Engine,
        decoders: int,
        batch: int,
        abstain: float | None,
    ) -> None:
        self.predictor = predictor
        self.engine = engine
        self.run = run
        self.limits = limits
        self.decision = predictor.decision
        self.abstain = abstain
        self.batcher = Batcher(self._answers, most=batch, waiting=limits.waiting_images)
        self.decoders = ThreadPoolExecutor(max_workers=decoders, thread_name_prefix="decode")
        self.decoding = asyncio.Semaphore(4 * decoders)
        self.undecoded = 0  # images of accepted requests whose squares are not with the batcher yet
        self.started = time.monotonic()

    @property
    def waiting(self) -> int:
        """Images that wait at this moment, for a decoder or for the model."""
        return self.undecoded + self.batcher.queued

    def check_room(self, images: int) -> None:
        """Raise RequestError with 503 where so many further images would be more than may wait."""
        if self.waiting + images > self.limits.waiting_images:
            raise RequestError(503, f"{self.waiting} images are waiting already; try again in a moment.")

    def _answers(self, squares: Any) -> list[tuple[Any, float | None]]:
        """Return the probabilities (K,) of each square and the share of known images as unlike the training images."""
        answers = self.engine(squares)
        unlike = [None] * len(squares) if answers.unlike is None else answers.unlike.tolist()
        return list(zip(answers.probabilities, unlike, strict=True))

    async def predict(self, images: body.Images, top: int) -> dict[str, Any]:
        """Return what `tl-advise predict --json` prints for these images.

        Raises RequestError where none of them can be read, or too many wait.
        """
        self.check_room(len(images))
        self.undecoded += len(images)  # their bytes are held from here on
        try:
            squares = await asyncio.gather(*(self._square(data) for _, data in images))
        finally:
            self.undecoded -= len(images)
        readable = [i for i, square in enumerate(squares) if not isinstance(square, RequestError)]
        if not readable:
            first = next(square for square in squares if isinstance(square, RequestError))
            raise first if len(images) == 1 else RequestError(first.status, f"no image can be read: {first.message}")
        rows = await self.batcher.submit([squares[i] for i in readable])
        names = [name for name, _ in images]
        predictions = [self._row(names[i], *row, top) for i, row in zip(readable, rows, strict=True)]
        unreadable = [
            Unreadable(path=name, reason=square.message)
            for name, square in zip(names, squares, strict=True)
            if isinstance(square, RequestError)
        ]
        return json_document(self.predictor.classes, predictions, unreadable)

    async def _square(self, data: bytes) -> Any:
        loop = asyncio.get_running_loop()
        async with self.decoding:
            try:
                return await loop.run_in_executor(self.decoders, self._decoded, data)
            except RequestError as error:
                return error

    def _decoded(self, data: bytes) -> Any:
        check_header(data, self.limits)
        try:
            return image_inputs.square(data, self.predictor.rule)
        except ValueError as error:
            raise RequestError(415, f"the image cannot be decoded: {error}.") from None
        except TransientReadError as error:  # memory is short: nothing is known to be wrong with the image
            raise RequestError(503, f"{error.what} Try again in a moment.") from None

    def _row(self, name: str, row: Any, unlike: float | None, top: int) -> dict[str, Any]:
        decided = int(decide(row[None], self.decision)[0])
        order = sorted(range(len(row)), key=lambda k: (k != decided, -float(row[k]), k))[:top]
        best = [(self.predictor.classes[k], float(row[k])) for k in order]
        is_unknown = self.abstain is not None and unlike is not None and unlike <= self.abstain
        return json_row(name, best, UNKNOWN if is_unknown else best[0][0], unlike)

    def model(self) -> dict[str, Any]:
        """Return the model's card as plain values: what it is, its classes, and the run's scores where they exist."""
        description = dict(self.predictor.description)
        scores = _scores(self.run / "result.json")
        return {
            "classes": list(self.predictor.classes),
            "size_px": self.predictor.size_px,
            **{key: description[key] for key in ("backbone", "strategy", "weights_sha256") if key in description},
            **{key: scores.get(key) for key in ("status", "test", "validation", "calibration", "unlike", "warnings")},
            "abstain": self.abstain,
            "report": (self.run / "report.html").is_file(),
            "tl_advise": __version__,
        }


def _scores(file: Path) -> dict[str, Any]:
    """Return what a run's result says; without one nothing, and a warning where it is damaged: the model answers anyway."""
    try:
        scores = json_records.plain(file.read_text(encoding="utf-8")) if file.is_file() else {}
        # The response must be UTF-8, and a name in the file need not be.
        scores = json_records.plain(json.dumps(scores, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace"))
    except (OSError, ValueError):
        scores = None
    damaged = {"warnings": [f"{file.name} of the run is damaged or cannot be read: its scores are not shown."]}
    return scores if isinstance(scores, dict) else damaged


def create(
    predictor: Any,
    run: Path,
    *,
    engine: Engine | None = None,
    limits: ServerLimits | None = None,
    decoders: int = 2,
    batch: int = 64,
    abstain: float | None = None,
) -> FastAPI:
    """Build the application for one model, answered by `engine`, by default the predictor itself.

    `decoders` threads decode images, batches hold up to `batch` images.

    With `abstain` images unlike the training images are labelled "unknown" at that rate of false alarms. Raises InputError
    where the model has no index for it.
    """
    check_abstain(predictor.index, abstain)
    bounds = limits or ServerLimits()
    service: dict[str, Service] = {}

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        computed = engine or in_torch(predictor)
        service["now"] = Service(
            predictor, run, bounds, engine=computed, decoders=decoders, batch=batch, abstain=abstain
        )
        async with service["now"].batcher:
            yield
        service["now"].decoders.shutdown(wait=True)

    app = FastAPI(
        title="tl-advise",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    _add_routes(app, service)
    _add_files(app, run)
    policy.add(app)
    return app


def _add_routes(app: FastAPI, service: dict[str, Service]) -> None:
    async def predict(request: Request, top: int = 5) -> dict[str, Any]:
        """Classify one image (the body) or several (form fields), and return the most probable classes of each."""
        now = service["now"]
        now.check_room(1)  # before the body takes memory
        images = await body.images(request, now.limits)
        return await now.predict(images, max(1, min(top, len(now.predictor.classes))))

    app.post("/predict", openapi_extra=PREDICT, summary="Classify images")(predict)

    @app.get("/health", summary="Is the model ready?")
    async def health() -> dict[str, Any]:
        now = service["now"]
        return {
            "status": "ok",
            "uptime_s": round(time.monotonic() - now.started, 1),
            "images": now.batcher.images,
            "batches": now.batcher.batches,
            "waiting": now.waiting,
        }

    @app.get("/model", summary="What the model is")
    async def model() -> dict[str, Any]:
        return service["now"].model()


def _add_files(app: FastAPI, run: Path) -> None:
    def served(name: str, kind: str) -> Any:
        async def file() -> FileResponse:
            return FileResponse(PAGE / name, media_type=kind)

        return file

    for path, name, kind in (
        ("/", "index.html", "text/html"),
        ("/page.css", "page.css", "text/css"),
        ("/page.js", "page.js", "text/javascript"),
    ):
        app.get(path, include_in_schema=False)(served(name, kind))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()))

    @app.get("/report", summary="The run's report", response_class=HTMLResponse)
    async def report() -> HTMLResponse:
        file = run / "report.html"
        if not file.is_file():
            raise RequestError(404, "this run has no report.")
        return HTMLResponse(
            file.read_text(encoding="utf-8", errors="replace"), headers={"Content-Security-Policy": REPORT_POLICY}
        )
