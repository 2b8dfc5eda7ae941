"""WebDataset shards: TAR files whose members share a key, `0001.jpg` beside `0001.cls`, `0001.txt` or `0001.json`.

One shard, or a folder of nothing but shards (whose names may state a split: `train-000.tar`). Unpacked once into the
cache. Source: the WebDataset format description. Of several images of a sample, the one with the plainest name is read.
"""

from __future__ import annotations

import dataclasses
import posixpath
import tarfile
from collections import defaultdict
from pathlib import Path

from advisor.data.archives import archive
from advisor.data.images import IMAGE_SUFFIXES, printable
from advisor.data.layouts import names
from advisor.data.layouts.folder_walk import Level, Walk
from advisor.data.layouts.listing import label_name, shortened, side_by_side
from advisor.errors import DatasetError
from advisor.records.data import GivenSplit, LabelledFile, Listing, ReadOptions
from advisor.runtime import json_records

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
    if not shards:
        raise DatasetError(f"{printable(str(path))} holds no shards (TAR files).", hint="Check the path.")
    splits = names.splits_of_files([archive.stem(shard) for shard in shards])
    beside = names.beside_training(splits)
    used = [shard for shard in shards if archive.stem(shard) not in beside]
    listings = [_read_shard(shard, splits[archive.stem(shard)]) for shard in used]
    listing = listings[0] if len(shards) == 1 else side_by_side(listings)
    notes = [f"shards beside the splits are skipped: {shortened(beside)}."] if beside else []
    return dataclasses.replace(listing, warnings=(*notes, *listing.warnings))


def _read_shard(shard: Path, split: GivenSplit) -> Listing:
    folder = archive.unpacked(shard)
    entries, unlabelled, several = [], 0, []
    for files in _samples(folder):
        images = [file for file in files if names.suffix_of(file) in IMAGE_SUFFIXES]
        image = images[0] if images else None
        several += [images] if len(images) > 1 else []
        label = _label(folder, {names.suffix_of(file): file for file in reversed(files)})
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
    if several:
        warnings.append(
            f"{len(several)} samples hold several images ({shortened(several[0])}): the first of each is read."
        )
    return walk.listing(NAME, entries, warnings)


def _samples(folder: Path) -> list[list[str]]:
    """List the files of each sample, those without further words first: `0001.png` before the mask `0001.mask.png`."""
    samples: dict[str, list[str]] = defaultdict(list)
    every = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    for file in sorted(every, key=lambda file: (posixpath.basename(file).count("."), file)):
        samples[posixpath.join(posixpath.dirname(file), posixpath.basename(file).partition(".")[0])].append(file)
    return list(samples.values())


def _label(folder: Path, sample: dict[str, str]) -> str:
    for suffix in _LABEL_SUFFIXES:
        if suffix in sample:
            text = (folder / sample[suffix]).read_text(encoding="utf-8", errors="surrogateescape").strip()
            if suffix != ".json":
                return text
            try:
                record = json_records.plain(text)
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
