"""How long a photo of a camera takes to decode to a square: in full, and at the reduced scale of large JPEG files.

Photos of ants and bees, enlarged, with grain, so that their files are as large as a camera's. Both ways take turns; the best
of the rounds counts. Beside them: how far the squares differ, in grey levels of 255.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from pathlib import Path
from typing import Any

import ledger
import numpy as np

PAGE = ledger.ROOT / "docs" / "speed.md"
SHAPES, SIDES_PX, PHOTOS, ROUNDS = ((2048, 1536), (4000, 3000), (6000, 4000)), (146, 256), 8, 3
EVERYTHING = 10**12  # pixels: as a limit, no photo is large


def enlarged(path: Path, shape: tuple[int, int], seed: int) -> bytes:
    """Return a photo's JPEG file at another size, with grain."""
    from PIL import Image

    with Image.open(path) as opened:
        image = opened.convert("RGB").resize(shape, Image.Resampling.BILINEAR)
    grain = np.random.default_rng(seed).normal(0.0, 9.0, (shape[1], shape[0], 1))
    stream = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def measure(photos: list[bytes], side_px: int) -> dict[str, Any]:
    """Return milliseconds of CPU time per photo, both ways, and the largest and mean difference of their squares."""
    from advisor.data import pixels

    rule, limit = pixels.PixelRule(side_px, side_px), pixels.LARGE_JPEG
    best, squares = dict.fromkeys(("full", "reduced"), np.inf), {}
    for _ in range(ROUNDS):
        for way, above in (("full", EVERYTHING), ("reduced", limit)):
            pixels.LARGE_JPEG = above
            began = time.process_time()
            squares[way] = np.stack([pixels.decode(photo, rule) for photo in photos]).astype(int)
            best[way] = min(best[way], 1000 * (time.process_time() - began) / len(photos))
    pixels.LARGE_JPEG = limit
    difference = np.abs(squares["full"] - squares["reduced"])
    return {
        **{way: round(value, 1) for way, value in best.items()},
        "largest": int(difference.max()),
        "mean": round(float(difference.mean()), 2),
        "megabytes": round(float(np.mean([len(p) for p in photos])) / 1e6, 1),
    }


def publish() -> None:
    """Write the table."""
    rows = [r for r in ledger.Ledger(ledger.RESULTS, "speed").rows if r["part"] == "large_photos"]
    lines = [
        [
            f"{r['width']:,} x {r['height']:,}, {r['megabytes']} MB",
            str(r["side_px"]),
            f"{r['full']:.0f}",
            f"{r['reduced']:.0f}",
            f"{r['reduced'] / r['full']:.2f}",
            f"{r['largest']} ({r['mean']})",
        ]
        for r in rows
    ]
    titles = ["photo", "square, px", "in full, ms", "reduced, ms", "ratio", "largest (mean) difference, grey levels"]
    ledger.publish("large_photos", ledger.table(titles, lines) + f"\n{ledger.machine()}.\n", PAGE)


def main(arguments: list[str]) -> None:
    """Measure the rows that are missing."""
    parser = argparse.ArgumentParser(prog="run.py large_photos", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=ledger.ROOT / ".scratch" / "data", help="where the sets are unpacked"
    )
    args = parser.parse_args(arguments)
    book = ledger.Ledger(ledger.RESULTS, "speed")
    files = sorted((ledger.unpacked("hymenoptera", args.data) / "train").rglob("*.jpg"))[:PHOTOS]
    for width, height in SHAPES:
        photos: list[bytes] = []
        for side_px in SIDES_PX:
            key = {"part": "large_photos", "width": width, "height": height, "side_px": side_px}
            if not book.has(**key):
                photos = photos or [enlarged(path, (width, height), number) for number, path in enumerate(files)]
                book.add({**key, **measure(photos, side_px)})
                print(book.rows[-1], flush=True)
    publish()


if __name__ == "__main__":
    main(sys.argv[1:])
