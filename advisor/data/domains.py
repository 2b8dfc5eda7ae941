"""An unlabelled target domain: a folder of images, however they lie in it, as items without labels.

In: a path and the source's class names. Out: items whose label is always 0, so that nothing that trains can see one; and,
apart from them, what the names of the folders say, for the final score only. Does NOT cover: decoding (`pixels`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from advisor.data import folder_layouts, image_paths, images
from advisor.errors import DatasetError
from advisor.records import Item, Unreadable

UNKNOWN = -1


@dataclass(frozen=True, kw_only=True)
class Target:
    """`hidden_labels` holds one class index an item, UNKNOWN where no folder above it is named like a class."""

    root: str
    items: tuple[Item, ...]
    unreadable: tuple[Unreadable, ...]
    hidden_labels: tuple[int, ...]


def read(path: str, classes: Sequence[str], *, option: str = "--target") -> Target:
    """List a folder's images. Raises DatasetError where it is no folder, or fewer than two images can be read."""
    root = Path(path)
    if not root.is_dir():
        raise DatasetError(f"{option} {path}: no such folder.", hint="Name a folder with images of that domain.")
    number = {name: index for index, name in enumerate(classes)}
    items: list[Item] = []
    labels: list[int] = []
    unreadable: list[Unreadable] = []
    with images.quiet():
        for file in image_paths.images([path]).paths:
            relative = Path(file).relative_to(root)
            try:
                items.append(_item(Path(file), relative.as_posix()))
            except (OSError, ValueError) as error:
                unreadable.append(Unreadable(path=relative.as_posix(), reason=images.reason(error)))
                continue
            named = [number[n] for n in map(folder_layouts.label_name, relative.parts[:-1]) if n in number]
            labels.append(named[-1] if named else UNKNOWN)
    if len(items) < 2:
        raise DatasetError(f"{option} {path}: fewer than two images can be read there.", hint="Name another folder.")
    return Target(root=str(root), items=tuple(items), unreadable=tuple(unreadable), hidden_labels=tuple(labels))


def class_folders(path: str, *, option: str) -> tuple[str, ...]:
    """List the class folders of a folder, sorted by name. Raises DatasetError where there are fewer than two."""
    root = Path(path)
    names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")) if root.is_dir() else []
    if len(names) < 2:
        raise DatasetError(
            f"{option} {path}: fewer than two class folders are there.",
            hint="Name a folder with one folder for each class.",
        )
    return tuple(names)


def without(target: Target, paths: Sequence[str]) -> Target:
    """Drop the items at these paths, their hidden labels with them."""
    gone = set(paths)
    kept = [(i, label) for i, label in zip(target.items, target.hidden_labels, strict=True) if i.path not in gone]
    return Target(
        root=target.root,
        items=tuple(i for i, _ in kept),
        unreadable=target.unreadable,
        hidden_labels=tuple(label for _, label in kept),
    )


def _item(file: Path, name: str) -> Item:
    content = file.read_bytes()
    width, height, mode = images.header(content)
    return Item(
        path=name,
        label=0,
        given="",
        split="pool",
        sha256=hashlib.sha256(content).hexdigest(),
        width=width,
        height=height,
        mode=mode,
        bytes=len(content),
    )
