"""Arrays of a run: whole, or one line that names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from advisor.errors import InputError
from advisor.runtime import stored_arrays


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "flipped", "words", "one array"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    """Whatever NumPy raises for it, EOFError for an empty file among them."""
    path = tmp_path / "test.npz"
    np.savez_compressed(path, logits=np.arange(3000.0), labels=np.arange(5))
    assert sorted(stored_arrays.read(path)) == ["labels", "logits"]
    assert stored_arrays.read(path)["labels"].tolist() == [0, 1, 2, 3, 4]
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "one array":
        with open(path, "wb") as stream:
            np.save(stream, np.zeros(3))
    else:
        flipped = content[:200] + bytes(byte ^ 255 for byte in content[200:400]) + content[400:]
        path.write_bytes(
            {"empty": b"", "half": content[: len(content) // 2], "words": b"words", "flipped": flipped}[damage]
        )
    with pytest.raises(InputError, match=r"test.npz is (missing|damaged)"):
        stored_arrays.read(path)


@pytest.mark.parametrize(("at", "byte"), [(6, 0x01), (8, 0x63), (4, 0xFF)], ids=["encrypted", "compression", "version"])
def test_a_changed_byte_of_the_directory_is_damage(tmp_path: Path, at: int, byte: int) -> None:
    """One byte can state an encrypted file, an unknown compression or another version of ZIP."""
    path = tmp_path / "test.npz"
    np.savez_compressed(path, labels=np.arange(5))
    content = bytearray(path.read_bytes())
    for start, offset in ((content.find(b"PK\x01\x02"), at + 2), (0, at)):
        content[start + offset] = byte
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"test.npz is damaged"):
        stored_arrays.read(path)
