"""Thumbnails of images for the report."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from advisor.reporting import thumbnails


def test_thumbnails_are_small_and_skip_what_is_gone(tmp_path: Path) -> None:
    """A thumbnail is a JPEG of at most the asked side; a file that has vanished or broke has none."""
    Image.fromarray(np.zeros((300, 500, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    made = thumbnails.make(tmp_path, ["a.png", "b.png", "gone.png"], side_px=64)
    assert list(made) == ["a.png"]
    assert Image.open(io.BytesIO(made["a.png"])).size == (64, 38)
