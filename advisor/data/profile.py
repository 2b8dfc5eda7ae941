"""Measure a `Dataset`: counts, sizes, colour modes, duplicates, leaks, unreadable files, and warnings.

In: a `Dataset`; out: a `Profile`. Headers and hashes are enough for most of it; `deep` decodes every file (thumbnails,
several times faster than full decoding) to find truncated files and near-duplicates. Does NOT cover: advice
(`tuning.regime`), pixels for training (`pixels`).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from advisor.aliases import CountProgress, Note
from advisor.data import duplicates, splits
from advisor.data.archives import unpacking
from advisor.data.dataset import drop_items
from advisor.data.images import printable
from advisor.data.layouts.listing import counted, shortened
from advisor.data.similarity import joining
from advisor.data.similarity.crops import Extent
from advisor.errors import DatasetError
from advisor.records import Dataset, DuplicateGroup, Item, Profile, Quantiles, Unreadable

if TYPE_CHECKING:
    from advisor.runtime.cache import Store

IMBALANCED = 10.0  # largest class over smallest; above it plain accuracy is misleading
FEW_IMAGES = 10  # images of a class in the pool; below it a class is hard to learn (docs/design.md 4.3)
FEW_TESTED = 100  # test images; below it a 95 % interval is wider than 12 points (docs/design.md 4.4)
CROPPED = 0.35  # mean share of the area that a centre crop removes; 3:2 photos lose 0.33
TINY_PX = 32  # short side; below it images show little detail


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """A data set whose files were all decoded: without broken ones, similar images joined. `similar` lists their sets."""

    dataset: Dataset
    similar: tuple[DuplicateGroup, ...]


def decode(
    dataset: Dataset,
    *,
    store: Store | None = None,
    progress: CountProgress | None = None,
    join: Callable[[Dataset, Sequence[DuplicateGroup]], Dataset] = joining.join,
    extent: Extent = duplicates.WHOLE_SEARCH,
    stage: Note = duplicates.ignore,
) -> Decoded:
    """Decode every file, set the broken ones aside, find similar images and `join` them for the splits.

    `extent` bounds the search for crops and mirror images, which takes longest; `stage` hears that it begins, `store` keeps
    what it found. Labels that a user corrects are corrected after this: they do not change which images are held out.
    """
    small, broken = duplicates.thumbnails(
        dataset.root, dataset.items, store=store, progress=progress, value_range=dataset.value_range
    )
    # Thumbnails of broken files are black, hence flat, hence never like another.
    limits: dict[str, Any] = {"value_range": dataset.value_range, "extent": extent}
    similar = duplicates.similar(dataset.root, dataset.items, small, **limits, store=store, stage=stage)
    return Decoded(dataset=set_aside(join(dataset, similar), broken), similar=similar)


def measure(
    dataset: Dataset,
    *,
    deep: bool = False,
    similar: Sequence[DuplicateGroup] | None = None,
    store: Store | None = None,
    progress: CountProgress | None = None,
) -> Profile:
    """Measure a data set; `deep` also decodes every file and joins near-duplicates, unless `similar` shows that it was done.

    Files that `deep` finds unreadable are listed and not counted; `set_aside` removes them from the data set.
    """
    if deep and similar is None:
        decoded = decode(dataset, store=store, progress=progress)
        dataset, similar = decoded.dataset, decoded.similar
    groups = (*duplicates.exact(dataset.items), *duplicates.refreshed(similar or (), dataset.items))
    items = dataset.items
    widths = np.array([item.width for item in items], dtype=np.float64)
    heights = np.array([item.height for item in items], dtype=np.float64)
    counts = _counts(dataset)
    sizes = [n for n in counts["pool"].values() if n]
    given_test = dataset.split.test if dataset.split.rule == "given" else 0
    profile = Profile(
        images=len(items),
        classes=dataset.classes,
        counts=counts,
        imbalance=max(sizes, default=0) / min(sizes, default=1),
        width=_quantiles(widths),
        height=_quantiles(heights),
        aspect=_quantiles(widths / np.maximum(heights, 1)),
        crop_loss=_crop_loss(widths, heights),
        modes=dict(sorted(Counter(item.mode for item in items).items())),
        unreadable=dataset.unreadable,
        duplicates=groups,
        near_checked=similar is not None,
        fingerprint=dataset.fingerprint,
        split=dataset.split,
        training_images=len(items) - given_test,
        skipped_suffixes=dataset.skipped_suffixes,
        holds_out_val=dataset.holds_out_val,
        value_range=dataset.value_range,
        joined=dataset.joined_counts,
    )
    return dataclasses.replace(profile, warnings=(*dataset.warnings, *_warnings(dataset, profile)))


def check_learnable(dataset: Dataset) -> None:
    """Raise DatasetError where nothing can be trained or validated: no images, one class, one image or group in each."""
    root = printable(unpacking.given(dataset.root))
    hint = "Put the images of each class into a folder of its own, or give a CSV or TSV manifest (path,label)."
    counts = Counter(item.label for item in dataset.pool)
    if not counts:
        raise DatasetError(f"{root}: no readable training image.", hint=hint)
    if len(counts) == 1:
        only = dataset.classes[next(iter(counts))]
        raise DatasetError(f"{root} has only one class ({only}): there is nothing to classify.", hint=hint)
    if max(counts.values()) == 1:
        raise DatasetError(
            f"{root}: every class has one training image, so nothing can be validated.",
            hint="Provide at least 2 images per class, better 10.",
        )
    labels = np.array([item.label for item in dataset.pool])
    if not splits.folds(labels, splits.groups_of(dataset.pool), k=splits.FOLDS, seed=0):
        raise DatasetError(
            f"{root}: the training images of every class are one group (equal files, or one value of the group column), so "
            "nothing can be validated.",
            hint="Provide different images of at least 2 groups per class, or leave out the group column.",
        )


def set_aside(dataset: Dataset, unreadable: Sequence[Unreadable]) -> Dataset:
    """Return the data set without items that could not be decoded, listed as unreadable; fingerprint and test set stay."""
    listed = {u.path for u in dataset.unreadable}
    new = [u for u in unreadable if u.path not in listed]
    return drop_items(dataset, [u.path for u in new], new) if new else dataset


def without_leaks(dataset: Dataset, profile: Profile) -> Dataset:
    """Return the data set without the pool items that have a duplicate in the test set; the test set stays complete."""
    drop = duplicates.removable(dataset, profile.duplicates)
    return drop_items(dataset, drop) if drop else dataset


def leaks(profile: Profile) -> tuple[DuplicateGroup, ...]:
    """Return the duplicate groups that span pool and test."""
    return tuple(group for group in profile.duplicates if group.across)


def _counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    images = Counter((item.split, item.label) for item in dataset.items)
    return {
        split: {name: images[split, label] for label, name in enumerate(dataset.classes)} for split in ("pool", "test")
    }


def _quantiles(values: np.ndarray) -> Quantiles:
    if not len(values):
        return Quantiles(low=0.0, q05=0.0, median=0.0, q95=0.0, high=0.0)
    low, q05, median, q95, high = (float(v) for v in np.quantile(values, (0, 0.05, 0.5, 0.95, 1)))
    return Quantiles(low=low, q05=q05, median=median, q95=q95, high=high)


def _crop_loss(widths: np.ndarray, heights: np.ndarray) -> float:
    if not len(widths):
        return 0.0
    return float(np.mean(1 - np.minimum(widths, heights) / np.maximum(np.maximum(widths, heights), 1)))


def _warnings(dataset: Dataset, profile: Profile) -> list[str]:
    """Return what a user should know before trusting a score, the most serious first."""
    notes = _duplicate_warnings(dataset, profile)
    pool, test = profile.counts["pool"], profile.counts["test"]
    if profile.unreadable:
        first = profile.unreadable[0]
        notes.append(
            f"{counted(len(profile.unreadable), 'file')} cannot be read and will not be used "
            f"(first: {printable(first.path)}: {first.reason})."
        )
    if profile.split.test:
        untested = [name for name in profile.classes if not test[name]]
        if untested:
            notes.append(
                f"no test images, hence no test score, for {counted(len(untested), 'class')}: {shortened(untested)}."
            )
        groups = len(set(splits.groups_of(dataset.test).tolist())) if dataset.has_groups else profile.split.test
        if groups < FEW_TESTED:
            within = f" in {counted(groups, 'group')}" if groups < profile.split.test else ""
            notes.append(
                f"the test set has only {counted(profile.split.test, 'image')}{within}: its score will be uncertain."
            )
    notes += _only_validated(dataset)
    few = [name for name, n in pool.items() if n < FEW_IMAGES]
    if few:
        notes.append(f"fewer than {FEW_IMAGES} training images in {counted(len(few), 'class')}: {shortened(few)}.")
    if profile.imbalance >= IMBALANCED:
        notes.append(
            f"imbalanced classes: the largest has {profile.imbalance:.0f} times as many images as the smallest; "
            "judge by balanced accuracy."
        )
    if profile.crop_loss >= CROPPED:
        notes.append(
            f"a centre crop removes {profile.crop_loss:.0%} of an image on average; squash or pad keep all of it."
        )
    tiny = sum(min(item.width, item.height) < TINY_PX for item in dataset.items)
    if tiny:
        notes.append(f"{counted(tiny, 'image')} smaller than {TINY_PX} pixels on the short side.")
    return notes


def _only_validated(dataset: Dataset) -> list[str]:
    """Return a warning about classes of which a given validation set that validates has the only training images."""
    if not dataset.holds_out_val:
        return []
    trained = {item.label for item in dataset.pool if item.given != "val"}
    only = Counter(dataset.classes[item.label] for item in dataset.pool if item.label not in trained)
    if not only:
        return []
    return [
        f"{counted(len(only), 'class')} only in the validation set ({shortened(sorted(only))}): no validation score of "
        f"{'it' if len(only) == 1 else 'them'}; {counted(only.total(), 'image')} for the final training alone; --val pool "
        "makes training data of them from the start."
    ]


def _duplicate_warnings(dataset: Dataset, profile: Profile) -> list[str]:
    notes = []
    across = leaks(profile)
    if across:
        drop = duplicates.removable(dataset, profile.duplicates)
        example = f"for example {shortened(across[0].paths, 2)}"
        notes.append(
            f"leak: {counted(len(drop), 'training image')} with a duplicate in the test set ({example}); the test score would "
            "be too high."
            if dataset.split.rule == "given"
            else f"series of similar images: the test set that was held out here divides them, {counted(len(drop), 'image')} "
            f"of training {'resembles' if len(drop) == 1 else 'resemble'} a test image ({example}), since whole series would "
            "leave a class without test or validation images; --remove-leaks removes them from training."
        )
    few = joining.few_series(dataset, profile.duplicates)
    if few:
        named = [f"{name}: {images:,} images in {series:,} series" for name, (images, series) in few.items()]
        notes.append(
            f"{counted(len(few), 'class')} of a few series of similar images ({shortened(named)}): the score says little "
            "about new series; a table with a group column (video, place, patient) keeps together what belongs together."
        )
    contrary = [group for group in profile.duplicates if group.labels_differ]
    if contrary:
        notes.append(
            f"{counted(len(contrary), 'set')} of duplicates with conflicting labels "
            f"(for example {shortened(contrary[0].paths, 2)})."
        )
    shared = _shared_groups(dataset.items)
    if shared:
        groups = counted(len(shared), "group")
        notes.append(f"{groups} of the manifest in both training and test set: {shortened(shared)}.")
    return notes


def _shared_groups(items: Sequence[Item]) -> list[str]:
    pool = {item.group for item in items if item.group and item.split == "pool"}
    return sorted(pool & {item.group for item in items if item.group and item.split == "test"})
