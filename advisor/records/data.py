"""Records of a data set: how to read it, its items and splits, and its measured profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

GivenSplit = Literal["", "train", "val", "test"]  # stated by the layout; "" where it states none
ItemSplit = Literal["pool", "test"]
SplitRule = Literal["given", "cut", "none"]
ValidationUse = Literal["holdout", "pool"]
DuplicateKind = Literal["exact", "near", "crop", "mirror"]
ValueRange = tuple[float, float]  # samples that become black and white


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How a data set is to be read where its layout leaves a choice; everything that a rerun needs to read it again.

    `val` decides whether a given validation set beside a given test set validates ("holdout") or joins the pool.
    `layout` forces a reading where several are possible, `exclude` names top-level folders to leave out. The columns
    name those of a table; `root` is the folder that a table's paths are relative to; `label_from` is a regular
    expression whose first group is the label in a file's relative path.
    """

    val: ValidationUse = "holdout"
    layout: str | None = None
    exclude: tuple[str, ...] = ()
    root: str | None = None
    path_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    split_column: str | None = None
    label_from: str | None = None
    max_pixels: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One readable image file of a data set.

    `path` is relative to the data set's root, with forward slashes (bytes that are no UTF-8 as surrogate escapes).
    `given` is the split that the layout stated ("train", "val", "test", or "" where it stated none); `split` is ours:
    "pool" (training and validation are drawn from it) or "test" (locked).
    """

    path: str
    label: int
    given: GivenSplit
    split: ItemSplit
    sha256: str
    width: int
    height: int
    mode: str
    bytes: int
    group: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable:
    """A file that looked like an image and could not be read: not used, counted and listed."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSplit:
    """How the locked test came about: `rule` is "given", "cut" or "none"; `fraction` is what was held out (0 if given)."""

    rule: SplitRule
    fraction: float
    pool: int
    test: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelChange:
    """So many images whose label was corrected from one class to another."""

    was: str
    label: str
    images: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Relabelled:
    """Labels that a table corrected after the data were read: how many, of these in the test, and which classes.

    `sha256` is over the corrections themselves (path, label before and after), not over the bytes of `file`.
    """

    file: str
    images: int
    test_images: int
    sha256: str
    changes: tuple[LabelChange, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class JoinedImages:
    """Images that look alike and were kept together in the tool's own splits: how many, in how many groups.

    `members` has one text per set: the first 12 hexadecimal digits of each content's SHA-256. Where a recipe lists them, the
    result beside it does not.
    """

    images: int
    groups: int
    members: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """Files, labels and splits. `classes` are sorted by name; `Item.label` is an index into them.

    `layout` names the reader ("folders", "splits", "manifest" ...); `skipped` counts hidden and other files, of which
    `skipped_suffixes` counts the other files by suffix; `holds_out_val` is True where the given validation set validates;
    `value_range` is what the samples of 16-bit and float images are scaled from, None where there are none;
    `warnings` are about the reading (images of a class that only the test has, cycles of links).
    """

    root: str
    layout: str
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    unreadable: tuple[Unreadable, ...]
    skipped: int
    split: DataSplit
    fingerprint: str
    has_groups: bool = False
    warnings: tuple[str, ...] = ()
    skipped_suffixes: dict[str, int] = field(default_factory=dict)
    holds_out_val: bool = False
    value_range: ValueRange | None = None
    relabelled: Relabelled | None = None
    joined: JoinedImages | None = None

    @property
    def pool(self) -> tuple[Item, ...]:
        """The items from which training and validation are drawn."""
        return tuple(i for i in self.items if i.split == "pool")

    @property
    def joined_counts(self) -> JoinedImages | None:
        """How many similar images were joined, without their list."""
        return None if self.joined is None else replace(self.joined, members=())

    @property
    def test(self) -> tuple[Item, ...]:
        """The locked items: no decision sees them."""
        return tuple(i for i in self.items if i.split == "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantiles:
    """Minimum, 5 %, median, 95 % and maximum of something measured per image."""

    low: float
    q05: float
    median: float
    q95: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicateGroup:
    """Images that are the same: `kind` is "exact" (equal bytes), "near" (but for encoding or size), "crop" or "mirror".

    `across` holds where they span the pool and the test (a leak); `labels_differ` where their labels contradict.
    """

    kind: DuplicateKind
    paths: tuple[str, ...]
    across: bool
    labels_differ: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What was measured of a data set, before any network saw it. Counts are of readable images."""

    images: int
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]  # split ("pool", "test") -> class name -> images
    imbalance: float  # largest class / smallest class of the pool
    width: Quantiles
    height: Quantiles
    aspect: Quantiles  # width / height
    crop_loss: float  # mean share of an image's area that a centre crop to a square cuts away, 0..1
    modes: dict[str, int]  # Pillow's mode -> images
    unreadable: tuple[Unreadable, ...]
    duplicates: tuple[DuplicateGroup, ...]
    near_checked: bool  # whether near-duplicates were looked for (inspect --deep, advise)
    fingerprint: str
    split: DataSplit
    training_images: (
        int  # readable, outside a given test, before our own split: what the prior counts (docs/design.md 4.3)
    )
    warnings: tuple[str, ...] = field(default=())
    skipped_suffixes: dict[str, int] = field(default_factory=dict)
    holds_out_val: bool = False
    value_range: ValueRange | None = None
    joined: JoinedImages | None = None  # without members

    def __repr__(self) -> str:
        shown = ", ".join(self.classes[:5]) + (" ..." if len(self.classes) > 5 else "")
        return f"Profile({self.images} images, {len(self.classes)} classes: {shown}; {self.split.test} held out)"

    @property
    def per_class(self) -> float:
        """Images per class, before our own split."""
        return self.training_images / max(1, len(self.classes))


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledFile:
    """A labelled file: its path relative to the root (forward slashes), label name, given split and group."""

    path: str
    label: str
    given: GivenSplit = ""
    group: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What a layout states: `entries` sorted by path, what was skipped, and warnings for the user.

    `skipped` counts hidden and other files; `skipped_suffixes` counts the other files by suffix ("" for none).
    """

    root: Path
    layout: str
    entries: tuple[LabelledFile, ...]
    skipped: int = 0
    skipped_suffixes: Mapping[str, int] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()
    warnings: tuple[str, ...] = ()
    has_groups: bool = False
