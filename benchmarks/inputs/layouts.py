"""Write one data set in the layouts that people have, and compare each profile with that of the plain folder.

    python benchmarks/inputs/layouts.py --out benchmarks/results/layouts.json

Each layout holds the same 24 images of two classes. "equal": classes, counts per class, sizes and colour modes are those
of the plain folder; "refused": one line with the remedy, shown. Parquet needs the extra `parquet`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from advisor.data import dataset, profile
from advisor.errors import AdviseError
from advisor.records.data import ReadOptions

Build = Callable[[Path, list[tuple[Path, str]]], Path]


def sources(folder: Path) -> list[tuple[Path, str]]:
    """Write the shared images; return (file, label)."""
    draws = np.random.default_rng(0)
    files = []
    for number in range(24):
        path = folder / f"{number:03d}.png"
        Image.fromarray(draws.integers(0, 255, (40, 48, 3), dtype=np.uint8)).save(path)
        files.append((path, "cat" if number % 2 else "dog"))
    return files


def copied(files: list[tuple[Path, str]], target: Callable[[Path, str], Path]) -> None:
    """Copy every file to where `target` says."""
    for file, label in files:
        path = target(file, label)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, path)


def folders(root: Path, files: list[tuple[Path, str]]) -> Path:
    """One folder per class."""
    copied(files, lambda file, label: root / label / file.name)
    return root


def table(names: tuple[str, str], *, separator: str = ",", encoding: str = "utf-8", suffix: bool = True) -> Build:
    """Return a builder of a table beside a folder of images."""

    def build(root: Path, files: list[tuple[Path, str]]) -> Path:
        copied(files, lambda file, label: root / "img" / file.name)
        with open(root / "table.csv", "w", encoding=encoding, newline="") as stream:
            rows = csv.writer(stream, delimiter=separator)
            rows.writerow(names)
            rows.writerows((f"img/{f.name if suffix else f.stem}", label) for f, label in files)
        return root / "table.csv"

    return build


def one_hot(root: Path, files: list[tuple[Path, str]]) -> Path:
    """One column per class."""
    copied(files, lambda file, label: root / "img" / file.name)
    lines = [f"img/{f.name},{int(label == 'cat')},{int(label == 'dog')}" for f, label in files]
    (root / "t.csv").write_text("\n".join(["image,cat,dog", *lines]))
    return root / "t.csv"


def metadata(name: str) -> Build:
    """Return a builder of a Hugging Face image folder."""

    def build(root: Path, files: list[tuple[Path, str]]) -> Path:
        copied(files, lambda file, label: root / "images" / file.name)
        if name.endswith("csv"):
            lines = ["file_name,label", *(f"images/{f.name},{label}" for f, label in files)]
        else:
            lines = [json.dumps({"file_name": f"images/{f.name}", "label": label}) for f, label in files]
        (root / name).write_text("\n".join(lines))
        return root

    return build


def kaggle(root: Path, files: list[tuple[Path, str]]) -> Path:
    """A flat train/ with train.csv by id, and an unlabelled test/."""
    copied(files, lambda file, label: root / "train" / file.name)
    copied(files[:3], lambda file, label: root / "test" / f"t{file.name}")
    (root / "train.csv").write_text("\n".join(["id,category", *(f"{f.stem},{label}" for f, label in files)]))
    return root


def label_list(root: Path, files: list[tuple[Path, str]]) -> Path:
    """Lines of `path label`."""
    copied(files, lambda file, label: root / "img" / file.name)
    (root / "list.txt").write_text("\n".join(f"img/{f.name} {label}" for f, label in files))
    return root / "list.txt"


def names_of_files(root: Path, files: list[tuple[Path, str]]) -> Path:
    """The label is the first part of the name."""
    copied(files, lambda file, label: root / f"{label}_{file.name}")
    return root


def class_first(root: Path, files: list[tuple[Path, str]]) -> Path:
    """cat/train, cat/test."""
    copied(files, lambda file, label: root / label / ("test" if int(file.stem) > 17 else "train") / file.name)
    return root


def splits(train: str, test: str) -> Build:
    """Return a builder of splits of class folders."""

    def build(root: Path, files: list[tuple[Path, str]]) -> Path:
        copied(files, lambda file, label: root / (test if int(file.stem) > 17 else train) / label / file.name)
        return root

    return build


def archived(kind: str) -> Build:
    """Return a builder of an archive of class folders."""

    def build(root: Path, files: list[tuple[Path, str]]) -> Path:
        plain = folders(root / "plain", files)
        return Path(shutil.make_archive(str(root / "data"), kind, plain))

    return build


def shard(root: Path, files: list[tuple[Path, str]]) -> Path:
    """A WebDataset shard."""
    with tarfile.open(root / "shard.tar", "w") as archive:
        for file, label in files:
            for name, content in ((file.name, file.read_bytes()), (f"{file.stem}.cls", label.encode())):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return root / "shard.tar"


def parquet(root: Path, files: list[tuple[Path, str]]) -> Path:
    """Image bytes and labels."""
    import pyarrow
    from pyarrow import parquet as writer

    images = [{"bytes": file.read_bytes(), "path": file.name} for file, _ in files]
    writer.write_table(pyarrow.table({"image": images, "label": [label for _, label in files]}), root / "a.parquet")
    return root / "a.parquet"


def parquet_files(root: Path, files: list[tuple[Path, str]]) -> Path:
    """A repository of the Hugging Face hub: two files of image bytes for training, one for the test."""
    from pyarrow import parquet as writer
    from pyarrow import table as arrow_table

    (root / "data").mkdir()
    for name, part in (("train-00000", files[:9]), ("train-00001", files[9:18]), ("test-00000", files[18:])):
        images = [{"bytes": file.read_bytes(), "path": file.name} for file, _ in part]
        columns = {"image": images, "label": [label for _, label in part]}
        writer.write_table(arrow_table(columns), root / "data" / f"{name}-of-00002.parquet")
    return root


def archives(root: Path, files: list[tuple[Path, str]]) -> Path:
    """One ZIP per class."""
    plain = folders(root / "plain", files)
    (root / "packed").mkdir()
    for name in ("cat", "dog"):
        shutil.make_archive(str(root / "packed" / name), "zip", plain / name)
    return root / "packed"


def kaggle_breeds(root: Path, files: list[tuple[Path, str]]) -> Path:
    """A flat train/ with labels.csv whose label column has a name of its own."""
    copied(files, lambda file, label: root / "train" / file.name)
    (root / "labels.csv").write_text("\n".join(["id,breed", *(f"{f.stem},{label}" for f, label in files)]))
    return root


def too_high(root: Path, files: list[tuple[Path, str]]) -> Path:
    """The class folders lie one folder deeper."""
    folders(root / "data", files)
    return root


def flat_splits(root: Path, files: list[tuple[Path, str]]) -> Path:
    """train/ and test/ without class folders or labels."""
    copied(files, lambda file, label: root / ("test" if int(file.stem) > 17 else "train") / file.name)
    return root


LAYOUTS: dict[str, tuple[Build, ReadOptions]] = {
    "class folders": (folders, ReadOptions()),
    "train/test folders": (splits("train", "test"), ReadOptions()),
    "training_set/test_set": (splits("training_set", "test_set"), ReadOptions()),
    "seg_train/seg_test": (splits("seg_train", "seg_test"), ReadOptions()),
    "class first": (class_first, ReadOptions()),
    "CSV path,label": (table(("path", "label")), ReadOptions()),
    "CSV file_name,class": (table(("file_name", "class")), ReadOptions()),
    "CSV semicolons, UTF-16": (table(("image", "target"), separator=";", encoding="utf-16"), ReadOptions()),
    "CSV bars": (table(("filename", "category"), separator="|"), ReadOptions()),
    "CSV names without suffix": (table(("image_id", "label"), suffix=False), ReadOptions()),
    "CSV unusual columns": (
        table(("photo", "what")),
        ReadOptions(path_column="photo", label_column="what"),
    ),
    "one-hot table": (one_hot, ReadOptions()),
    "metadata.csv": (metadata("metadata.csv"), ReadOptions()),
    "metadata.jsonl": (metadata("metadata.jsonl"), ReadOptions()),
    "Kaggle flat": (kaggle, ReadOptions()),
    "label list": (label_list, ReadOptions()),
    "labels in names": (names_of_files, ReadOptions(label_from="^([a-z]+)_")),
    "ZIP": (archived("zip"), ReadOptions()),
    "TAR": (archived("gztar"), ReadOptions()),
    "WebDataset shard": (shard, ReadOptions()),
    "Parquet with bytes": (parquet, ReadOptions()),
    "Parquet files of a hub repository": (parquet_files, ReadOptions()),
    "folder of archives": (archives, ReadOptions()),
    "CSV of two unusual columns": (table(("photo_uri", "what")), ReadOptions()),
    "CSV separated by spaces": (table(("path", "label"), separator=" "), ReadOptions()),
    "Kaggle flat, id,breed": (kaggle_breeds, ReadOptions()),
    "one folder too high": (too_high, ReadOptions()),
    "train/test without labels": (flat_splits, ReadOptions()),
}


def facts(path: Path, options: ReadOptions) -> dict[str, object]:
    """Return what must not depend on the layout."""
    measured = profile.measure(dataset.read(path, options=options))
    counts = {name: sum(measured.counts[split][name] for split in ("pool", "test")) for name in measured.classes}
    return {"counts": counts, "width": measured.width.median, "modes": measured.modes, "images": measured.images}


def main() -> None:
    """Read every layout and write the outcomes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    call = parser.parse_args()
    outcomes = {}
    with tempfile.TemporaryDirectory() as temporary:
        shared = Path(temporary) / "shared"
        shared.mkdir()
        files = sources(shared)
        plain = facts(folders(Path(temporary) / "plain", files), ReadOptions())
        for number, (name, (build, options)) in enumerate(LAYOUTS.items()):
            root = Path(temporary) / f"l{number}"
            root.mkdir()
            try:
                outcomes[name] = "equal" if facts(build(root, files), options) == plain else "other profile"
            except AdviseError as error:
                outcomes[name] = f"refused: {error}".replace(temporary, "")
            print(f"{name:28} {outcomes[name]}", flush=True)
    if call.out:
        call.out.write_text(
            json.dumps({"command": "python benchmarks/inputs/layouts.py", "layouts": outcomes}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
