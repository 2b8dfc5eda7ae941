"""`predict --sort-into DIR`: a copy of every image in a folder of its class; the originals stay.

In: predictions. Out: DIR/CLASS/IMAGE. A class name becomes the name of one folder: no separator, no way up, nothing hidden,
short enough for a file system, and never that of another class. Does NOT cover: tables (`_predict_output`).
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from advisor.cli._predict_output import UNSURE, Row
from advisor.errors import OutputError
from advisor.safe_text import printable

LONGEST_BYTES = 200  # of a folder's name; file systems take 255, and a number may follow
LONGEST_FILE_BYTES = 255


class ClassFolders:
    """The folders of one call: `classes` are all that can be predicted."""

    def __init__(self, folder: Path, classes: Iterable[str]) -> None:
        from advisor.models.predict import UNKNOWN

        self.folder = folder
        self.names: dict[str, str] = {}
        self._used: set[Path] = set()  # the copies of this call
        taken: set[str] = set()
        for label in dict.fromkeys((*classes, UNSURE, UNKNOWN)):
            plain = name = _folder_name(label)
            number = 1
            while name.casefold() in taken:
                number += 1
                name = f"{plain}-{number}"
            taken.add(name.casefold())
            self.names[label] = name

    def add(self, one: Row) -> None:
        """Copy an image under its own name, numbered where that is taken. Raises OutputError where it cannot be written.

        A file with the same bytes that an earlier call left there is its copy.
        """
        target = self.folder / self.names[one.label]
        name = Path(one.path).name if not isinstance(one.image, bytes) else "standard-input"
        try:
            target.mkdir(parents=True, exist_ok=True)
            path, number = target / _file_name(name, 1), 1
            while path.exists():
                if path not in self._used and _is_copy(path, one.image):
                    self._used.add(path)
                    return
                number += 1
                path = target / _file_name(name, number)
            self._used.add(path)
            if isinstance(one.image, bytes):
                path.write_bytes(one.image)
            else:
                shutil.copyfile(one.image, path)
        except OSError as error:
            raise OutputError(
                f"--sort-into {self.folder}: {name} cannot be copied ({error.strerror}).",
                hint="Free space there, or choose another folder.",
            ) from error


def _is_copy(path: Path, image: bytes | str) -> bool:
    if not path.is_file():
        return False
    return path.read_bytes() == image if isinstance(image, bytes) else filecmp.cmp(image, path, shallow=False)


def _folder_name(label: str) -> str:
    name = printable(label).replace("/", "_").replace("\\", "_").lstrip(".")
    return name.encode()[:LONGEST_BYTES].decode(errors="ignore") or "_"


def _file_name(name: str, number: int) -> str:
    """Return a name with its number from 2 on, cut between characters to what a file system takes."""
    stem, ending = os.path.splitext(name)
    ending = ending if number == 1 else f"-{number}{ending}"
    while stem and len(os.fsencode(stem + ending)) > LONGEST_FILE_BYTES:
        stem = stem[:-1]
    return stem + ending
