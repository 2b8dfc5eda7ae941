"""Read a folder of images as an unlabelled target domain, and list class folders.

In: a path and the source's class names. Out: items whose label is always 0, so that no training code can see a label;
apart from them, the labels that folder names state, for the final score only. Of a source task's images (`--source`) all
are listed and only those that are used are read. Does NOT cover: decoding (`pixels`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from advisor.data import image_paths, images
from advisor.data.layouts.listing import label_name
from advisor.data.remote import urls
from advisor.errors import DatasetError, InputError, TransientReadError
from advisor.records import Item, Unreadable

MOST_SOURCE_IMAGES = 500  # that are looked at: a 95 % interval of about +-4 points
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
        raise DatasetError(
            f"{option} {urls.public(path)}: no such folder.", hint="Give a folder with images of that domain."
        )
    number = {name: index for index, name in enumerate(classes)}
    items: list[Item] = []
    labels: list[int] = []
    unreadable: list[Unreadable] = []
    with images.quiet():
        listed = image_paths.resolve([path])
        for folder in listed.unlisted:
            relative = Path(folder.path).relative_to(root)
            unreadable.append(Unreadable(path=f"{relative.as_posix()}/", reason=folder.reason))
        for file in listed.paths:
            relative = Path(file).relative_to(root)
            try:
                items.append(_item(Path(file), relative.as_posix()))
            except (OSError, ValueError) as error:
                unreadable.append(Unreadable(path=relative.as_posix(), reason=images.reason(error)))
                continue
            named = [number[n] for n in map(label_name, relative.parts[:-1]) if n in number]
            labels.append(named[-1] if named else UNLABELLED)
    if len(items) < 2:
        raise DatasetError(
            f"{option} {urls.public(path)}: fewer than two images there can be read.", hint="Give another folder."
        )
    return Target(root=str(root), items=tuple(items), unreadable=tuple(unreadable), hidden_labels=tuple(labels))


def read_source(path: str, most: int = MOST_SOURCE_IMAGES) -> SourceImages:
    """Read up to `most` labelled source images (`--source`), the same on every machine for the same file names.

    No other file is opened: there may be a million. What cannot be read is passed over. Raises DatasetError where there are
    no class folders, or no images in them that can be read.
    """
    try:
        names, files = _source_files(path)
    except OSError as error:
        raise DatasetError(
            f"--source {urls.public(path)}: cannot be read ({images.reason(error)}).",
            hint="Check the folder and its disk.",
        ) from error
    number = {name: label for label, name in enumerate(names)}
    items: list[Item] = []
    with images.quiet():
        for relative in files:
            if len(items) == most:
                break
            with contextlib.suppress(OSError, ValueError, TransientReadError):
                items.append(replace(_item(Path(path) / relative, relative), label=number[relative.split("/")[0]]))
    if not items:
        raise DatasetError(
            f"--source {urls.public(path)}: no image in its class folders can be read.",
            hint="Give another folder, or leave it out.",
        )
    return SourceImages(root=path, items=tuple(items), classes=len(names))


def check_source(path: str | None) -> None:
    """Raise DatasetError at the start of a run for source images that could not be read at its end."""
    if path is not None:
        read_source(path, most=1)


def _source_files(path: str) -> tuple[list[str], list[str]]:
    """List the sorted names of the class folders, and the image files in them in the order of their names' hashes."""
    root = Path(path)
    names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")) if root.is_dir() else []
    if len(names) < 2:
        raise DatasetError(
            f"--source {urls.public(path)}: fewer than two class folders there.",
            hint="Give a folder with one subfolder per class.",
        )
    try:
        listed = image_paths.resolve([str(root / name) for name in names]).paths
    except InputError as error:
        raise DatasetError(
            f"--source {urls.public(path)}: no images in its class folders.",
            hint="Give a folder with one subfolder of images per class.",
        ) from error
    return names, sorted((Path(file).relative_to(root).as_posix() for file in listed), key=_digest)


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


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
    if not file.is_file():  # a named pipe would block for ever
        raise ValueError("not a regular file")
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
