"""Rules of the cost file: rows and columns by class name in any order; whatever is wrong is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.data.tables import cost_file
from advisor.errors import InputError

CLASSES = ("ant", "bee", "wasp")


def write(folder: Path, text: str) -> Path:
    """Write a cost file."""
    path = folder / "costs.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("separator", [",", "\t"])
def test_rows_and_columns_come_by_name(tmp_path: Path, separator: str) -> None:
    """The order of the file is free, an empty diagonal is 0, and a byte-order mark does no harm."""
    text = "\ufefftrue,wasp,ant,bee\nbee,2,1,\nant,9,0,1\nwasp,0,5.5,4\n".replace(",", separator)
    assert cost_file.read(write(tmp_path, text), CLASSES) == ((0.0, 1.0, 9.0), (1.0, 0.0, 2.0), (5.5, 4.0, 0.0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true,ant,bee,fly\nant,0,1,1\n", '"fly" is not a class of this data set'),
        ("true,ant,bee\nant,0,1\nbee,1,0\nwasp,1,1\n", 'no column for the class "wasp"'),
        ("true,ant,bee,wasp\nant,0,1,1\nbee,1,0,1\n", 'no row for the class "wasp"'),
        ("true,ant,bee,wasp\nant,0,,1\nbee,1,0,1\nwasp,1,1,0\n", 'answering "bee" for "ant" is nothing'),
        ("true,ant,bee,wasp\nant,0,-1,1\nbee,1,0,1\nwasp,1,1,0\n", 'is "-1", expected a number of at least 0'),
        ("true,ant,bee,wasp\nant,0,x,1\nbee,1,0,1\nwasp,1,1,0\n", 'is "x", expected a number'),
        ("true,ant,bee,bee\nant,0,1,1\n", '"bee" appears twice'),
        ("true,ant,bee,wasp\nant,0,0,0\nbee,0,0,0\nwasp,0,0,0\n", "every cost is 0"),
        ("true,ant,bee,wasp\nant,0,1,1\nbee,1,5,2\nwasp,1,1,0\n", 'for "bee" the right answer costs 5, .* "ant" 1'),
        ("", "expected a table of costs"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    """The file, what is wrong with it, and what was expected."""
    with pytest.raises(InputError, match=expected) as caught:
        cost_file.read(write(tmp_path, text), CLASSES)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The option and the path are in the error."""
    with pytest.raises(InputError, match=r"--objective cost:.*nowhere\.csv: cannot be read"):
        cost_file.read(tmp_path / "nowhere.csv", CLASSES)
