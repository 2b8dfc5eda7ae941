"""What holds for every route: refusals in one form, headers, one log line per request, HEAD wherever there is GET.

In: an application. Out: the same, with handlers and middleware. Does NOT cover: the routes (`app`).
"""

from __future__ import annotations

import logging
import time
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from advisor.errors import RequestError

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
log = logging.getLogger("tl_advise.serve")


def add(app: FastAPI) -> None:
    """Add what holds for every route to an application."""
    app.add_middleware(_HeadAsGet)

    @app.exception_handler(RequestError)
    async def refuse(request: Any, error: RequestError) -> JSONResponse:
        headers = {"Retry-After": "1"} if error.status == 503 else {}
        return JSONResponse({"error": error.message}, status_code=error.status, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def refuse_number(request: Any, error: RequestValidationError) -> JSONResponse:
        wrong = ", ".join(str(one["loc"][-1]) for one in error.errors())
        return JSONResponse({"error": f"{wrong}: expected a whole number."}, status_code=400)

    @app.exception_handler(HTTPException)
    async def refuse_address(request: Any, error: HTTPException) -> JSONResponse:
        here = f"{request.method} {request.url.path}"
        message = f"{here}: {str(error.detail).lower()}; GET /docs lists what there is."
        return JSONResponse({"error": message}, status_code=error.status_code, headers=error.headers)

    @app.middleware("http")
    async def policy(request: Any, call_next: Any) -> Any:
        began = time.monotonic()
        response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        seconds = round(time.monotonic() - began, 4)
        line = {"method": request.method, "path": request.url.path, "status": response.status_code, "seconds": seconds}
        log.info(line)
        return response


class _HeadAsGet:
    """Middleware: HEAD is answered as GET, whose body the server leaves out; load balancers ask for health so."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self.app({**scope, "method": "GET"} if is_head else scope, receive, send)
