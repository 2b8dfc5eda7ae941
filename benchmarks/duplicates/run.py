"""How many copies are found as near-duplicates, and how many pictures are flagged that are none.

Command: python benchmarks/duplicates/run.py FOLDER [FOLDER ...] [--images 200] [--seed 0]
For each folder (any layout that tl-advise reads): the share of copies that are found, by how they were made; the share
of pictures with a pasted object that are taken for copies (they should not be); and the pairs that are flagged among
all images of the folder, to be looked at. Prints one Markdown table.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from advisor.data import dataset, duplicates, images, near_duplicates, pixels

Maker = Callable[[Image.Image, Image.Image, np.random.Generator], Image.Image | bytes]


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """Encode an image into bytes."""
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def scaled(image: Image.Image, by: float) -> Image.Image:
    """Resize by a factor."""
    size = (max(1, round(image.width * by)), max(1, round(image.height * by)))
    return image.resize(size, Image.Resampling.LANCZOS)


def pasted(image: Image.Image, other: Image.Image, draws: np.random.Generator) -> Image.Image:
    """Paste a small piece of another picture, an eighth of the side, somewhere into this one."""
    changed = image.copy()
    width, height = max(1, image.width // 8), max(1, image.height // 8)
    corner = (int(draws.integers(0, image.width - width)), int(draws.integers(0, image.height - height)))
    changed.paste(other.resize((width, height)), corner)
    return changed


MAKERS: dict[str, Maker] = {
    "JPEG 50": lambda i, o, d: encoded(i, "JPEG", quality=50),
    "JPEG 25": lambda i, o, d: encoded(i, "JPEG", quality=25),
    "WebP 60": lambda i, o, d: encoded(i, "WEBP", quality=60),
    "GIF": lambda i, o, d: encoded(i.quantize(128), "GIF"),
    "half size": lambda i, o, d: scaled(i, 0.5),
    "3/4 size": lambda i, o, d: encoded(scaled(i, 0.75), "JPEG", quality=80),
    "1.5 size": lambda i, o, d: encoded(scaled(i, 1.5), "JPEG", quality=80),
    "brighter": lambda i, o, d: i.point(lambda v: min(255, int(v * 1.05 + 5))),
    "other object": pasted,
}


def found(first: Sequence[bytes], second: Sequence[bytes], large: np.ndarray) -> np.ndarray:
    """Judge pairs of files as the product does: small thumbnails, then larger ones where the images are large."""
    small = [np.stack([pixels.decode(c, duplicates.RULE) for c in side]) for side in (first, second)]
    fine = [np.stack([pixels.decode(c, duplicates.FINE_RULE) for c in side]) for side in (first, second)]
    near = near_duplicates.same(*small, duplicates.TOLERANCE)
    return near & (~large | near_duplicates.same(*fine, duplicates.FINE_TOLERANCE))


def row(folder: Path, count: int, seed: int) -> str:
    """Measure one folder."""
    data = dataset.read(folder, test_split="none")
    draws = np.random.default_rng(seed)
    chosen = draws.choice(len(data.items), min(count, len(data.items)), replace=False)
    contents = [(Path(data.root) / data.items[i].path).read_bytes() for i in chosen]
    opened = [images.open_rgb(content) for content in contents]
    shares = []
    for make in MAKERS.values():
        copies = [make(a, b, draws) for a, b in zip(opened, opened[1:] + opened[:1], strict=True)]
        copied = [c if isinstance(c, bytes) else encoded(c, "PNG") for c in copies]
        sizes = [min(*a.size, *images.header(c)[:2]) for a, c in zip(opened, copied, strict=True)]
        shares.append(found(contents, copied, np.array(sizes) >= duplicates.FINE_PX).mean())
    small, _ = duplicates.thumbnails(data.root, data.items)
    groups = duplicates.near(data.root, data.items, small)
    cells = [folder.name, f"{len(data.items):,}", *(f"{share:.3f}" for share in shares), str(len(groups))]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    call = parser.parse_args()
    titles = ["data", "images", *MAKERS, "near-duplicate sets"]
    print("| " + " | ".join(titles) + " |")
    print("|" + "---|" * len(titles))
    for folder in call.folders:
        print(row(folder, call.images, call.seed), flush=True)


if __name__ == "__main__":
    main()
