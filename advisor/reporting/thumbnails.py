"""Small pictures for the report: image files -> JPEG bytes of at most `side_px`, so that a page can carry them.

Does NOT cover: which images are shown (`selection`), where they stand (`report`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from advisor.errors import TransientReadError
from advisor.records import Result
from advisor.records.data import ValueRange


def shown(result: Result) -> list[str]:
    """List the images that the report shows: mistakes, suspicious labels, and the most similar image of each of these."""
    suspects = result.suspects.first if result.suspects else ()
    near = [path for one in suspects for path in one.neighbours[:1]]
    return list(dict.fromkeys([*(one.path for one in result.mistakes), *(one.path for one in suspects), *near]))


def make(
    root: str | Path, paths: Iterable[str], *, side_px: int = 160, value_range: ValueRange | None = None
) -> dict[str, bytes]:
    """Return a JPEG for each of `paths` (relative to `root`) that can still be read; the others are left out."""
    import io

    from PIL import Image

    from advisor.data import images

    pictures = {}
    for path in paths:
        try:
            picture = images.open_rgb(Path(root) / path, value_range=value_range)
        except (OSError, ValueError, TransientReadError):
            continue  # moved or damaged since it was scored: the report shows a frame without a picture
        picture.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=82)
        pictures[path] = buffer.getvalue()
    return pictures
