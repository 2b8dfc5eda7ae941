"""Similar images are kept together by every command that cuts a test or folds of its own, as by the main job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from photographs import photo, save

import advisor
from advisor.cli import run
from advisor.data import dataset, profile
from advisor.records import Settings, recipe_file
from advisor.workflows.session import Session, open_session

WORK = ["--backbone", "pocket", "--size", "32", "--offline", "--threads", "1"]
OPTIONS: dict[str, Any] = {"backbone": "pocket", "size": 32, "offline": True, "threads": 1}
SERIES, FRAMES = 16, 3


@pytest.fixture(scope="module")
def bursts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write sixteen photographs of two classes, each three times in other bytes."""
    root = tmp_path_factory.mktemp("data") / "bursts"
    for number in range(SERIES):
        for frame in range(FRAMES):
            path = root / f"c{number % 2}" / f"{number:02d}-{frame}.jpg"
            save(photo(number, (64, 64)), path, quality=95 - 8 * frame)
    return root


def opened(root: Path, **options: Any) -> Session:
    settings = Settings(data=str(root), backbones=("pocket",), size_px=32, offline=True, threads=1)
    return open_session(settings, **options)


def series_of(path: str) -> str:
    return path.rpartition("-")[0]


def check_listed(joined: dict[str, Any]) -> None:
    assert (joined["images"], joined["groups"]) == (SERIES * FRAMES, SERIES)
    assert sorted(len(member.split()) for member in joined["members"]) == [FRAMES] * SERIES


def test_no_series_crosses_the_cut_or_a_fold(bursts: Path) -> None:
    """The data set is the one that the main job works on; without joining, series are on both sides of its test."""
    session = opened(bursts)
    apart = dataset.read(bursts)
    assert {series_of(i.path) for i in apart.pool} & {series_of(i.path) for i in apart.test}
    assert session.dataset == profile.decode(apart).dataset
    assert not {series_of(i.path) for i in session.dataset.pool} & {series_of(i.path) for i in session.dataset.test}
    items = session.resources.job.items
    for train, held_out in session.resources.folds():
        assert not {series_of(items[i].path) for i in train} & {series_of(items[i].path) for i in held_out}


def test_compare_lists_what_it_kept_together(bursts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In comparison.json and in the terminal; what is held out are whole series."""
    call = ["compare", str(bursts), *WORK, "--arms", "scratch", "--epochs", "0.5", "--out", str(tmp_path / "out")]
    assert run([*call, "--quiet"]) == 0
    assert f"{SERIES * FRAMES} similar images in {SERIES} groups" in " ".join(capsys.readouterr().out.split())
    facts = json.loads((tmp_path / "out" / "comparison.json").read_text())
    check_listed(facts["joined"])
    assert facts["held_out"] % FRAMES == 0


def test_fewshot_and_lr_find_list_it_too(bursts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In what `--json` prints, and in what the functions return."""
    few = ["--ways", "2", "--shots", "2", "--queries", "4", "--episodes", "4", "--strategy", "prototypes"]
    assert run(["fewshot", str(bursts), *WORK, *few, "--json"]) == 0
    check_listed(json.loads(capsys.readouterr().out)["joined"])
    assert run(["lr-find", str(bursts), *WORK, "--steps", "12", "--json"]) == 0
    check_listed(json.loads(capsys.readouterr().out)["joined"])
    sweep = advisor.lr_find(bursts, steps=12, **OPTIONS)
    assert sweep.joined is not None
    assert sweep.joined.groups == SERIES


def test_an_adaptation_lists_it_in_its_recipe_and_reruns_by_that_list(
    bursts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer counts, the recipe lists; a rerun joins what the recipe lists, and nothing where it lists nothing."""
    target = tmp_path / "target"
    for number in range(8):
        save(photo(100 + number, (64, 64)), target / f"{number}.jpg")
    out = tmp_path / "run"
    call = [str(bursts), "--target", str(target), *WORK, "--trials", "1", "--strategy", "full", "--out", str(out)]
    assert run([*call, "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["joined"] == {"images": 48, "groups": SERIES, "members": []}
    recipe = recipe_file.read(out)
    assert recipe.data.joined is not None
    assert len(recipe.data.joined.members) == SERIES
    assert run(["rerun", str(out), "--verify", "--offline"]) == 0
    assert "verified: identical" in capsys.readouterr().out


def test_the_search_is_bounded_by_the_time_of_the_command(bursts: Path) -> None:
    """As in the main job, with the same words; near-duplicates are found in any time."""
    heard: list[str] = []
    session = opened(bursts, budget_s=1.0, report=lambda what, done, total: heard.append(what))
    assert any("crops of one image are not searched for among 48 images" in text for text in heard)
    assert session.dataset.joined is not None
    heard.clear()
    opened(bursts, budget_s=10.0, report=lambda what, done, total: heard.append(what))
    assert not any("not searched" in text for text in heard)


def test_a_second_command_on_the_same_images_does_not_search_again(tmp_path: Path) -> None:
    """What another command found is in the cache; both say when a search begins, and join the same."""
    for number in range(12):
        save(photo(number, (120, 96)), tmp_path / f"c{number % 2}" / f"{number}.jpg")
    save(photo(0, (120, 96)).crop((0, 10, 120, 96)), tmp_path / "c0" / "crop.jpg")
    heard: list[str] = []
    first = opened(tmp_path, report=lambda what, done, total: heard.append(what))
    assert heard.count("looking for crops and mirror images") == 1
    sweep = advisor.lr_find(tmp_path, steps=12, progress=lambda what, done, total: heard.append(what), **OPTIONS)
    assert heard.count("looking for crops and mirror images") == 1
    assert first.dataset.joined == sweep.joined
    assert sweep.joined is not None
