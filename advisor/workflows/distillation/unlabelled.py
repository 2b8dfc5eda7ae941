"""The unlabelled images of a distillation: read from a folder, without those of the data set and those that are broken.

In: a folder, the data set, a pixel rule. Out: a `Target`. Images of the data set are left out by their bytes, so that no
image of the locked test is learned from, even where somebody names the whole collection.
Does NOT cover: near duplicates of test images, answers (`teacher`).
"""

from __future__ import annotations

from pathlib import Path

from advisor.data import domains, pixels
from advisor.data.domains import Target
from advisor.errors import DatasetError
from advisor.records import Dataset
from advisor.runtime import cache
from advisor.runtime.progress import Listener

OPTION = "--unlabelled"


def read(path: Path, data_set: Dataset, rule: pixels.PixelRule, listener: Listener) -> Target:
    """Read the images. Raises DatasetError where fewer than two are left that the data set does not have."""
    listed = domains.read(str(path), data_set.classes, option=OPTION)
    labelled = {item.sha256 for item in data_set.items}
    shared = tuple(item.path for item in listed.items if item.sha256 in labelled)
    _, broken = pixels.canvas(path, listed.items, rule, store=cache.Store())
    unread = {file.path: file.reason for file in (*listed.unreadable, *broken)}
    target = domains.drop_items(listed, (*shared, *unread))
    if len(target.items) < 2:
        raise DatasetError(
            f"{OPTION} {path}: fewer than two images there can be read and are not in the data set.",
            hint="Give a folder with other images.",
        )
    if shared:
        listener.note(f"{len(shared):,} of the unlabelled images are in the data set, with their labels; left out")
    for name, reason in unread.items():
        listener.note(f"{name} cannot be read ({reason.rstrip('.')}); it is left out")
    return target
