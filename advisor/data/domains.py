"""Read a folder of images as an unlabelled target domain, and list class folders.

In: a path and the source's class names. Out: items whose label is always 0, so that no training code can see a label;
apart from them, the labels that folder names state, for the final score only. Does NOT cover: decoding (`pixels`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from advisor.data import image_paths, images
from advisor.data.layouts.listing import label_name
from advisor.errors import DatasetError
from advisor.records import Item, Unreadable

UNLABELLED = -1  # the hidden label of an image whose folders name no class


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target domain. `hidden_labels` holds one class index per item, UNLABELLED where no parent folder names a class."""

    root: str
    items: tuple[Item, ...]
    unreadable: tuple[Unreadable, ...]
    hidden_labels: tuple[int, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the bytes of the images; names and folders do not count."""
        return hashlib.sha256("".join(sorted(item.sha256 for item in self.items)).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class SourceImages:
    """Labelled images of a source task: `classes` is the number of class folders, labels index their sorted names."""

    root: str
    items: tuple[Item, ...]
    classes: int


def read(path: str, classes: Sequence[str], *, option: str = "--target") -> Target:
    """Read a folder's images. Raises DatasetError where it is not a folder or has fewer than two readable images."""
    root = Path(path)
    if not root.is_dir():
        raise DatasetError(f"{option} {path}: no such folder.", hint="Give a folder with images of that domain.")
    number = {name: index for index, name in enumerate(classes)}
    items: list[Item] = []
    labels: list[int] = []
    unreadable: list[Unreadable] = []
    with images.quiet():
        for file in image_paths.resolve([path]).paths:
            relative = Path(file).relative_to(root)
            try:
                items.append(_item(Path(file), relative.as_posix()))
            except (OSError, ValueError) as error:
                unreadable.append(Unreadable(path=relative.as_posix(), reason=images.reason(error)))
                continue
            named = [number[n] for n in map(label_name, relative.parts[:-1]) if n in number]
            labels.append(named[-1] if named else UNLABELLED)
    if len(items) < 2:
        raise DatasetError(f"{option} {path}: fewer than two images there can be read.", hint="Give another folder.")
    return Target(root=str(root), items=tuple(items), unreadable=tuple(unreadable), hidden_labels=tuple(labels))


def class_folders(path: str, *, option: str) -> tuple[str, ...]:
    """Return the names of the class folders of a folder, sorted. Raises DatasetError where there are fewer than two."""
    root = Path(path)
    names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")) if root.is_dir() else []
    if len(names) < 2:
        raise DatasetError(
            f"{option} {path}: fewer than two class folders there.",
            hint="Give a folder with one subfolder per class.",
        )
    return tuple(names)


def read_source(path: str) -> SourceImages:
    """List labelled source images (`--source`). Raises DatasetError where there are no class folders or no images."""
    names = class_folders(path, option="--source")
    listed = read(path, names, option="--source")
    labelled = [
        replace(item, label=label)
        for item, label in zip(listed.items, listed.hidden_labels, strict=True)
        if label != UNLABELLED
    ]
    return SourceImages(root=listed.root, items=tuple(labelled), classes=len(names))


def first_by_hash(items: Sequence[Item], count: int) -> tuple[Item, ...]:
    """Return the `count` items with the smallest content hashes, the same on every machine, in their given order."""
    chosen = {i.path for i in sorted(items, key=lambda i: (i.sha256, i.path))[:count]}
    return tuple(i for i in items if i.path in chosen)


def drop_items(target: Target, paths: Sequence[str]) -> Target:
    """Return the target without the items at `paths` and their hidden labels."""
    dropped = set(paths)
    remaining = [
        (i, label) for i, label in zip(target.items, target.hidden_labels, strict=True) if i.path not in dropped
    ]
    return Target(
        root=target.root,
        items=tuple(i for i, _ in remaining),
        unreadable=target.unreadable,
        hidden_labels=tuple(label for _, label in remaining),
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
