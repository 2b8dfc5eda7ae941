"""A folder of nothing but archives: a class each, such as `cat.zip`, a split each, or `train.zip` beside `train.csv`.

All of them are unpacked once into one folder of the cache, each below its own name, with the tables beside them; what is
there is read as any folder. Does NOT cover: shards of samples (`layouts.webdataset`).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from advisor.data.archives import archive, unpacking
from advisor.data.images import printable
from advisor.data.layouts import names
from advisor.data.layouts.folder_walk import Level
from advisor.data.layouts.listing import shortened
from advisor.errors import DatasetError

_TABLES = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet"})


def is_folder_of_archives(path: Path) -> bool:
    """Return True for a folder with archives, and neither folders nor images."""
    level = Level.read(path) if path.is_dir() else Level()
    return bool(_archives(path, level)) and not level.folders and not level.images


def contents(path: Path) -> Path:
    """Return the folder to read instead of a folder of archives. Raises DatasetError for archives that are not read."""
    level = Level.read(path)
    archives = _archives(path, level)
    others = [name for name in level.others if names.suffix_of(name) in names.ARCHIVES and path / name not in archives]
    if others:
        raise DatasetError(
            f"{printable(str(path))}: {shortened(others)} cannot be unpacked here.",
            hint="Unpack the archives yourself; ZIP and TAR are read as they are.",
        )
    tables = [path / name for name in level.others if names.suffix_of(name) in _TABLES]
    if len(archives) == 1 and not tables:
        return archive.contents(archives[0])
    return unpacking.folder(
        unpacking.file_key([*archives, *tables]),
        lambda folder: _fill(folder, str(path), archives, tables),
        origin=path,
    )


def _archives(path: Path, level: Level) -> list[Path]:
    return [path / name for name in level.others if archive.is_archive(path / name)]


def _fill(folder: Path, shown: str, archives: list[Path], tables: list[Path]) -> None:
    """Unpack each archive below its own name; a folder of the same name within it, or one alone, takes its place."""
    limits = unpacking.UnpackingLimits(printable(shown), sum(file.stat().st_size for file in archives))
    for file in archives:
        target = folder / archive.stem(file)
        archive.unpack(file, target, limits)
        target.mkdir(exist_ok=True)
        inner = [entry for entry in target.iterdir() if not names.is_hidden(entry.name)]
        if len(inner) == 1 and inner[0].is_dir():
            passing = folder / f".{target.name}"
            os.rename(inner[0], passing)
            shutil.rmtree(target)
            os.rename(passing, target)
    for file in tables:
        shutil.copyfile(file, folder / file.name)
