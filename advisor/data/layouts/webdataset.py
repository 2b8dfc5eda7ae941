"""WebDataset shards: TAR files whose members share a key, `0001.jpg` beside `0001.cls`, `0001.txt` or `0001.json`.

One shard, or a folder of nothing but shards (whose names may state a split: `train-000.tar`). Unpacked once into the
cache. Source: the WebDataset format description. Does NOT cover: several images or labels per sample.
"""

from __future__ import annotations

import json
import tarfile
from collections import defaultdict
from pathlib import Path

from advisor.data.archives import archive
from advisor.data.images import IMAGE_SUFFIXES, printable
from advisor.data.layouts import names
from advisor.data.layouts.folder_walk import Level, Walk
from advisor.data.layouts.listing import label_name, side_by_side
from advisor.errors import DatasetError
from advisor.records.data import LabelledFile, Listing, ReadOptions

NAME = "webdataset"
_LABEL_SUFFIXES = (".cls", ".txt", ".json")
_LABEL_KEYS = ("label", "class", "target", "category", "label_name", "class_name", "cls")
_LOOKED_AT = 20  # members by which a shard is recognised


def recognise(path: Path, options: ReadOptions) -> bool:
    """Return True for a shard, and for a folder that holds shards and no folders."""
    if path.is_file():
        return _is_tar(path) and _is_shard(path)
    if not path.is_dir():
        return False
    level = Level.read(path)
    shards = [name for name in level.others if _is_tar(path / name)]
    return bool(shards) and not level.folders and not level.images and _is_shard(path / shards[0])


def read(path: Path, options: ReadOptions) -> Listing:
    """List the samples of every shard. Raises DatasetError where none has a label."""
    shards = [path] if path.is_file() else [path / name for name in Level.read(path).others if _is_tar(path / name)]
    listings = [_read_shard(shard) for shard in shards]
    return listings[0] if len(listings) == 1 else side_by_side(listings)


def _read_shard(shard: Path) -> Listing:
    folder = archive.unpacked(shard)
    name = archive.stem(shard)
    split = names.split_of(name.rstrip("0123456789-_.")) or names.split_of(name.split("-")[0])
    samples: dict[str, dict[str, str]] = defaultdict(dict)
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        relative = file.relative_to(folder).as_posix()
        samples[relative.rpartition("/")[0] + "/" + file.name.partition(".")[0]][names.suffix_of(file.name)] = relative
    entries, unlabelled = [], 0
    for sample in samples.values():
        image = next((sample[s] for s in sample if s in IMAGE_SUFFIXES), None)
        label = _label(folder, sample)
        if image and label:
            entries.append(LabelledFile(path=image, label=label_name(label), given=split))
        elif image:
            unlabelled += 1
    if not entries:
        raise DatasetError(
            f"{printable(str(shard))}: no sample has an image and a label.",
            hint="Put the label beside the image: 0001.jpg with 0001.cls, 0001.txt or 0001.json.",
        )
    walk = Walk(folder)
    walk.unlabelled += unlabelled
    warnings = [f"{unlabelled} samples without a label are left out."] if unlabelled else []
    return walk.listing(NAME, entries, warnings)


def _label(folder: Path, sample: dict[str, str]) -> str:
    for suffix in _LABEL_SUFFIXES:
        if suffix in sample:
            text = (folder / sample[suffix]).read_text(encoding="utf-8", errors="surrogateescape").strip()
            if suffix != ".json":
                return text
            try:
                record = json.loads(text)
            except ValueError:
                continue
            if isinstance(record, dict):
                return next((str(record[key]) for key in _LABEL_KEYS if record.get(key) is not None), "")
    return ""


def _is_tar(path: Path) -> bool:
    return archive.is_archive(path) and path.suffix.lower() != ".zip"


def _is_shard(path: Path) -> bool:
    """Return True where the first members pair images with labels under one key."""
    try:
        with tarfile.open(path) as shard:
            members = [info.name for info, _ in zip(shard, range(_LOOKED_AT), strict=False) if info.isreg()]
    except (OSError, *archive.DAMAGED):
        return False
    keys: dict[str, set[str]] = defaultdict(set)
    for name in members:
        folder, _, file = name.rpartition("/")
        keys[folder + "/" + file.partition(".")[0]].add(names.suffix_of(file))
    paired = [s for s in keys.values() if s & IMAGE_SUFFIXES and s & set(_LABEL_SUFFIXES)]
    return bool(paired) and len(paired) >= len(keys) - 1
