"""The API's description, and a page that shows it without loading anything from another host."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

DESCRIPTION = "A classifier trained by tl-advise. The answers equal those of `tl-advise predict RUN --json`."
_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "properties": {"image": {"type": "array", "items": {"type": "string", "format": "binary"}}},
    }
}
PREDICT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"image/jpeg": _IMAGE, "image/png": _IMAGE, "image/webp": _IMAGE, "multipart/form-data": _FORM},
    },
    "responses": {
        "400": {"description": "No image, too many images, or a broken form."},
        "408": {"description": "The body arrived too slowly."},
        "413": {"description": "The request or the image is too large."},
        "415": {"description": "The file is not an image that can be read."},
        "503": {"description": "Too many images are waiting. Try again in a moment."},
    },
}
_EXAMPLES = {
    "/predict": "curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' HOST/predict\n"
    "curl -F image=@one.jpg -F image=@two.jpg 'HOST/predict?top=3'",
    "/health": "curl HOST/health",
    "/model": "curl HOST/model",
}


def page(schema: Mapping[str, Any]) -> str:
    """Return an HTML page with every operation of an OpenAPI schema, its answers and an example."""
    parts = []
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            responses = "".join(
                f"<li><b>{html.escape(code)}</b> {html.escape(response.get('description', ''))}</li>"
                for code, response in operation.get("responses", {}).items()
            )
            example = f"<pre>{html.escape(_EXAMPLES[path])}</pre>" if path in _EXAMPLES else ""
            description = html.escape(operation.get("description") or operation.get("summary", ""))
            parts.append(
                f"<section><h2><code>{method.upper()} {html.escape(path)}</code></h2><p>{description}</p>{example}"
                f"<ul>{responses}</ul></section>"
            )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/page.css">'
        f"</head><body><main><header><h1>API</h1><p>{html.escape(schema['info'].get('description', ''))} "
        'The schema is <a href="/openapi.json">/openapi.json</a>; the page to try the model is <a href="/">here</a>.</p>'
        f"</header>{''.join(parts)}</main></body></html>"
    )
