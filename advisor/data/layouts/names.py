"""What names of files and folders mean: hidden, not an image, a split, unlabelled images.

In: a name. Out: a split or a bool. Sources of the split names: folder names of public data sets (ImageNet `val`, COCO
`val2017`, Intel scenes `seg_train`, Kaggle `training_set`, Hugging Face `validation`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from advisor.records.data import GivenSplit


def _words(text: str) -> list[str]:
    return text.split()


SPLITS: dict[str, GivenSplit] = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "development": "val",
    "test": "test",
    "testing": "test",
    "tst": "test",
    "holdout": "test",
    "eval": "val",
    "evaluation": "val",
}
PLAIN_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
# Words that data sets add to the name of a split without changing what it means.
_FILLERS = frozenset(
    _words(
        "set sets data dataset images image imgs img pictures photos split splits seg folder files jpg jpeg png cropped "
        "resized labeled labelled"
    )
)
UNLABELLED = frozenset(
    {"unlabeled", "unlabelled", "unlab", "unsup", "unsupervised", "extra_unlabeled", "unknown_labels"}
)
ANNOTATIONS = frozenset({"annotations", "annotation", "labels", "metadata", "masks", "docs", "xml", "json", "csv"})
_SYSTEM = frozenset({"__macosx", "@eadir", "__pycache__", "$recycle.bin", "system volume information", "lost+found"})
# Never opened to look for an image: text, programs, archives, system files.
NOT_IMAGES = frozenset(
    "." + suffix
    for suffix in _words(
        "txt csv tsv md rst json jsonl ndjson xml yaml yml html htm pdf doc docx xls xlsx py ipynb m r mat npy npz h5 hdf5 "
        "pkl pickle db sqlite ini cfg toml log sh bat exe parquet arrow feather zip tar gz tgz bz2 xz 7z rar zst lock mp4 "
        "avi mov mkv webm wav mp3 url lnk tex bib tfrecord pt pth onnx safetensors"
    )
)
# Camera raw files start like TIFF, but Pillow would read their thumbnail or noise.
RAW = frozenset(
    "." + suffix for suffix in _words("cr2 cr3 nef nrw arw srf sr2 dng orf rw2 raf pef srw x3f 3fr iiq raw")
)


def is_hidden(name: str) -> bool:
    """Return True for files and folders of the system, an editor or an archiver."""
    return name.startswith((".", "~$")) or name.lower() in _SYSTEM


def suffix_of(name: str) -> str:
    """Return the suffix in lower case, with its dot; "" where there is none."""
    return os.path.splitext(name)[1].lower()


def split_of(name: str) -> GivenSplit:
    """Return the split that a folder name or a cell of a split column states, or "" where it states none.

    Fillers and numbers are ignored: `training_set`, `val2017`, `seg_train`, `train_images`, `01-test`.
    """
    text = re.sub(r"hold[\s_-]*out", "holdout", name.strip().lower())
    words = [word for word in re.split(r"[\s_.\-]+", text) if word and not word.isdigit()]
    stems = [re.sub(r"(?<=[a-z])\d+$", "", word) for word in words]
    rest = [stem for stem in stems if stem not in _FILLERS]
    return SPLITS.get(rest[0], "") if len(rest) == 1 else ""


def splits_of(names: Iterable[str]) -> dict[str, GivenSplit]:
    """Return the split of each name that states one; `eval` beside another validation split is the test."""
    splits: dict[str, GivenSplit] = {name: split for name in names if (split := split_of(name))}
    for name in splits:
        others = {split for other, split in splits.items() if other != name}
        if "eval" in name.lower() and "val" in others and "test" not in others:
            splits[name] = "test"
    return splits


def is_unlabelled(name: str) -> bool:
    """Return True for a folder name that says that its images have no labels."""
    return name.strip().lower().replace(" ", "_").replace("-", "_") in UNLABELLED
