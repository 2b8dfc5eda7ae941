"""Members of archives that other programs write: names, links, folders, and bytes that are wrong."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from photographs import jpeg

from advisor.data import dataset
from advisor.errors import DatasetError


def pack(path: Path, names: list[str], compression: int = zipfile.ZIP_STORED) -> Path:
    """Write different photographs under these names."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for number, name in enumerate(names):
            archive.writestr(name, jpeg((40, 32), number))
    return path


def without_flag(path: Path) -> Path:
    """Remove the flag that says that names are UTF-8, as the Finder of macOS leaves it out."""
    content = bytearray(path.read_bytes())
    for signature, flag in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        at = content.find(signature)
        while at >= 0:
            content[at + flag] &= ~0x08
            at = content.find(signature, at + 4)
    path.write_bytes(content)
    return path


def test_names_of_a_zip_of_macos_are_utf_8(tmp_path: Path) -> None:
    """Without the flag Python reads them as those of MS-DOS, and the classes would be called so."""
    path = without_flag(pack(tmp_path / "a.zip", [f"{name}/{n}.jpg" for name in ("café", "thé") for n in range(4)]))
    assert dataset.read(path).classes == ("café", "thé")


def test_folders_of_a_zip_of_windows_are_no_files(tmp_path: Path) -> None:
    """Backslashes separate folders, also at the end of an entry that stands for a folder."""
    path = pack(tmp_path / "a.zip", [f"{name}\\{n}.jpg" for name in ("cat", "dog") for n in range(4)])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("cat\\", b"")
    data = dataset.read(path)
    assert (data.classes, len(data.items)) == (("cat", "dog"), 8)


def test_hard_links_of_a_tar_are_images(tmp_path: Path) -> None:
    """A second name of one file is an image like the first; one without its first, or of itself, is left out."""
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number, name in enumerate([f"{name}/{n}.jpg" for name in ("cat", "dog") for n in range(4)]):
            info = tarfile.TarInfo(name)
            info.size = len(content := jpeg((40, 32), number))
            archive.addfile(info, io.BytesIO(content))
        links = {"cow/0.jpg": "cat/0.jpg", "cow/1.jpg": "dog/0.jpg", "cow/2.jpg": "gone.jpg", "dog/9.jpg": "dog/9.jpg"}
        for name, target in links.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.LNKTYPE, target
            archive.addfile(link)
    data = dataset.read(tmp_path / "a.tar")
    assert (data.classes, len(data.items), data.unreadable) == (("cat", "cow", "dog"), 10, ())


@pytest.mark.parametrize("damage", ["name", "bytes"])
def test_wrong_bytes_of_a_zip_are_one_line(tmp_path: Path, damage: str) -> None:
    """A name that is not the UTF-8 that its flag promises, and packed bytes that are none."""
    path = pack(tmp_path / "a.zip", ["café/1.jpg", "thé/1.jpg"], zipfile.ZIP_BZIP2)
    content = path.read_bytes()
    if damage == "name":
        content = content.replace("café".encode(), b"caf\xff\xfe")
    else:
        content = content[:100] + bytes(100) + content[200:]
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.zip cannot be unpacked"):
        dataset.read(path)


class Unflagged(zipfile.ZipInfo):
    """A member whose name is written as bytes of another encoding than UTF-8."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802
        return self.filename.encode("cp437"), 0


def in_gbk(path: Path, *, stated: bool) -> Path:
    """Write photographs into folders with Chinese names in GBK, with their UTF-8 in an extra field where it is `stated`."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(f"{label}/{n}.jpg" for label in ("猫", "狗") for n in range(4)):
            raw = name.encode("gbk")
            info = Unflagged(raw.decode("cp437"))
            field = struct.pack("<BI", 1, zlib.crc32(raw)) + name.encode()
            info.extra = struct.pack("<HH", 0x7075, len(field)) + field if stated else b""
            archive.writestr(info, jpeg((40, 32), number))
    return path


def test_names_in_another_encoding_are_read_where_it_is_certain(tmp_path: Path) -> None:
    """The name in UTF-8 that stands beside another counts; without one a warning says that the encoding is not stated."""
    data = dataset.read(in_gbk(tmp_path / "a.zip", stated=True))
    assert data.classes == ("狗", "猫")
    assert not any("encoding" in text for text in data.warnings)
    data = dataset.read(in_gbk(tmp_path / "b.zip", stated=False))
    assert len(data.classes) == 2
    assert "does not state the encoding of its names" in data.warnings[0]
