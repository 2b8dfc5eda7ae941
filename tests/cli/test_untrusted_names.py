"""Names that other people made cannot harm a terminal or a page: every command is fed with the worst of them."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advisor import cli

# An escape sequence that colours, one that sets the window's title, a mark that reverses text, a line break, markup of the
# terminal's and of a page's kind, a spreadsheet formula, a byte that is not UTF-8, and a name as long as a file may have.
CLASSES = ("a\x1b[31m", "b\u202egpj", "c\nd", "=cmd|' /C calc'!A0", "[red]e", "<i>f</i>", "x" * 240)
SUFFIX = ".\x1b]0;pwned\x07\x1b[31m[red]x"
FILE = "\x1b]0;title\x07\u2066 [bold]\n.png"
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SMALL = ("--backbone", "pocket", "--size", "32", "--offline", "--threads", "1", "--quiet")


def write_images(root: Path) -> None:
    """Write four small images per class: a colour with noise, so that the classes can be told apart."""
    draw = np.random.default_rng(0)
    for index, name in enumerate(CLASSES):
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(4):
            pixels = np.clip(draw.normal(30 * index + 20, 25, (40, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / (FILE if number == 0 else f"{number}.png"))
    (root / CLASSES[0] / "broken\x1b[2J.png").write_bytes(b"no image")
    (root / CLASSES[0] / f"note{SUFFIX}").write_text("x")


def write_table(root: Path, path: Path) -> None:
    """List the images in a table whose columns and cells are hostile too, with one image that is not there."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("path", "label", "split\x1b[31m", f"note{SUFFIX}"))
        for index, name in enumerate(CLASSES):
            for number in range(1, 4):
                table.writerow((str(root / name / f"{number}.png"), f"{name}\x1b[7m[/]", f"\u202e{index}", SUFFIX))
        table.writerow((str(root / f"gone{SUFFIX}"), CLASSES[0], "", ""))


@pytest.fixture(scope="module", name="world")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images under hostile names, and a run on them in a folder with a hostile name."""
    base = tmp_path_factory.mktemp("hostile")
    os.environ["TL_ADVISE_CACHE"] = str(base / "cache")
    write_images(base / "data\x1b[5m")
    write_table(base / "data\x1b[5m", base / "table\x1b[5m.csv")
    call = ["advise", str(base / "data\x1b[5m"), "--out", str(base / "run\u202e"), "--trials", "1", *SMALL]
    assert cli.run([*call, "--strategy", "ridge"]) == 0
    return base


def calls(world: Path) -> dict[str, list[str]]:
    """Return every command with hostile arguments."""
    data, run = str(world / "data\x1b[5m"), str(world / "run\u202e")
    table = str(world / "table\x1b[5m.csv")
    missing = "gone\x1b[31m\u202e\n"
    return {
        "show": ["show", run],
        "show --json": ["show", run, "--json"],
        "open": ["open", run, "--print"],
        "resume": ["resume", run],
        "inspect": ["inspect", data, "--deep"],
        "inspect --json": ["inspect", data, "--json"],
        "inspect a table": ["inspect", table],
        "predict a list": ["predict", run, table, "--threads", "1"],
        "predict": ["predict", run, data, "--top", "2", "--threads", "1"],
        "predict --json": ["predict", run, data, "--json"],
        "predict --format csv": ["predict", run, data, "--format", "csv"],
        "export": ["export", run, "--format", "safetensors", "--out", str(world / "export\x1b[1m")],
        "rerun": ["rerun", run, "--offline", "--quiet"],
        "compare": ["compare", data, "--arms", "full", "--epochs", "0.1", "--out", str(world / "cmp\u202e"), *SMALL],
        "fewshot": ["fewshot", data, "--ways", "2", "--shots", "1", "--queries", "1", "--episodes", "2", *SMALL],
        "lr-find": ["lr-find", data, "--steps", "12", "--strategy", "partial", *SMALL],
        "cache": ["cache", "list", "--all"],
        "weights": ["weights", "--weights-dir", missing],
        "doctor": ["doctor", "--offline", "--weights-dir", missing],
        "plugins": ["plugins", "check", missing],
        "serve": ["serve", missing],
        "demo": ["demo", "--out", str(world / "data\x1b[5m" / CLASSES[0] / FILE)],
        "no dataset": ["advise", missing],
        "no run": ["predict", missing, missing],
        "mistyped": [missing],
        "no option": ["inspect", f"--{missing}"],
        "target": ["advise", data, "--target", missing, *SMALL],
    }


@pytest.mark.parametrize("name", calls(Path("x")))
def test_no_command_prints_a_harmful_character(
    name: str, world: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Neither standard output nor standard error of any command holds a control or bidirectional character."""
    code = cli.run(calls(world)[name])
    shown = b"".join(capfdbinary.readouterr()).decode("utf-8", "surrogateescape")
    assert code in (0, 2, 3), shown[-600:]
    assert not UNSAFE.search(shown), repr(UNSAFE.search(shown))
    assert "Traceback" not in shown


def test_no_page_holds_a_harmful_character(world: Path) -> None:
    """Report, model card and comparison show such names as text; class names that look like markup are escaped."""
    pages = [world / "run\u202e" / "report.html", world / "run\u202e" / "README.md"]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not UNSAFE.search(text), page
        assert "<i>f</i>" not in text
    assert "a\\x1b[31m" in pages[0].read_text(encoding="utf-8")


def test_a_csv_computes_nothing_unless_it_is_asked_to(world: Path, tmp_path: Path) -> None:
    """A class that is a spreadsheet formula is preceded by an apostrophe; --raw-csv writes names as they are."""
    run, images = str(world / "run\u202e"), str(world / "data\x1b[5m" / CLASSES[3])
    for option, starts in (([], b"'=cmd"), (["--raw-csv"], b"=cmd")):
        out = tmp_path / f"classes{len(option)}.csv"
        assert cli.run(["predict", run, images, "--top", str(len(CLASSES)), "--out", str(out), "--quiet", *option]) == 0
        assert b"," + starts in out.read_bytes()
    assert b",=cmd" not in (tmp_path / "classes0.csv").read_bytes()


def test_sorting_stays_inside_its_folder(world: Path, tmp_path: Path) -> None:
    """Images are copied into one folder per class, under names that can be shown; nothing leaves the folder."""
    data = world / "data\x1b[5m"
    call = [
        "predict",
        str(world / "run\u202e"),
        str(data),
        "--sort-into",
        str(tmp_path / "sorted"),
        "--quiet",
        "--json",
    ]
    assert cli.run([*call, "--out", str(tmp_path / "p.json")]) == 0
    copied = [p for p in (tmp_path / "sorted").rglob("*") if p.is_file()]
    assert len(copied) == len(json.loads((tmp_path / "p.json").read_text())["predictions"]) == 4 * len(CLASSES)
    assert {p.parent.parent for p in copied} == {tmp_path / "sorted"}
    shutil.rmtree(tmp_path / "sorted")


def test_only_the_one_door_prints() -> None:
    """No command prints past `_console`, where names are made safe."""
    folder = Path(cli.__file__).parent
    for path in folder.glob("*.py"):
        if path.name not in ("_console.py", "__init__.py"):
            assert not re.search(r"\bclick\.echo\(|(?<![\w.])print\(", path.read_text(encoding="utf-8")), path.name
