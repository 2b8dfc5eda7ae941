"""The body of a prediction request: one image as it is, or a form with several, read within bounds of size and time.

In: a Starlette request. Out: (name, bytes) of each image. Does NOT cover: decoding.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from advisor.errors import RequestError
from advisor.serving.limits import ServerLimits

if TYPE_CHECKING:
    from starlette.requests import Request

Images = list[tuple[str, bytes]]


async def images(request: Request, limits: ServerLimits) -> Images:
    """Read the images of a request.

    Raises RequestError with 400 (no image, too many, a broken form), 408 (too slow) or 413 (too large).
    """
    from starlette.requests import ClientDisconnect

    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limits.body_bytes:
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.body_s):
            if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
                uploads = await _form(request, limits)
            else:
                uploads = [("image", await _raw(request, limits))]
    except ClientDisconnect:
        raise RequestError(400, "the connection ended before the whole body had arrived.") from None
    except TimeoutError:
        raise RequestError(408, f"the body did not arrive within {limits.body_s:.0f} s.") from None
    if not uploads or (len(uploads) == 1 and not uploads[0][1]):
        raise RequestError(400, 'no image was sent: send one as the body, or form fields named "image".')
    if len(uploads) > limits.images:
        raise RequestError(400, f"{len(uploads)} images were sent; at most {limits.images} are accepted at once.")
    return uploads


async def _raw(request: Request, limits: ServerLimits) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limits.body_bytes:
            raise _too_large(limits)
        parts.append(part)
    return b"".join(parts)


async def _form(request: Request, limits: ServerLimits) -> Images:
    from starlette.datastructures import UploadFile
    from starlette.formparsers import MultiPartException, MultiPartParser

    async def bounded() -> AsyncGenerator[bytes, None]:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > limits.body_bytes:
                raise _too_large(limits)
            yield part

    parser = MultiPartParser(request.headers, bounded(), max_files=limits.images + 1, max_fields=8)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise RequestError(400, f"the form cannot be read: {str(error).rstrip('.')}.") from None
    uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    return [(upload.filename or f"#{n}", await upload.read()) for n, upload in enumerate(uploads)]


def _too_large(limits: ServerLimits) -> RequestError:
    return RequestError(413, f"the request is larger than {limits.body_bytes // 2**20} MiB.")
