"""What is measured of a data set, what a person is warned of, and what cannot be learned from."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from photographs import folder, photo, save

from advisor.data import dataset, profile
from advisor.errors import DatasetError
from advisor.records.data import ReadOptions
from advisor.runtime import cache


def measured(root: Path, **options: object) -> profile.Profile:
    return profile.measure(dataset.read(root), **options)  # type: ignore[arg-type]


def test_counts_sizes_and_modes(tmp_path: Path) -> None:
    """Counts by split and class, imbalance of the pool, quantiles, modes, and what a centre crop cuts away."""
    folder(tmp_path / "train", {"cat": 6, "dog": 2}, size=(60, 30))
    folder(tmp_path / "test", {"cat": 1, "dog": 2}, start=20, size=(40, 40))
    save(photo(90, (40, 80)).convert("L"), tmp_path / "train" / "dog" / "grey.png")
    summary = measured(tmp_path)
    assert summary.counts == {"pool": {"cat": 6, "dog": 3}, "test": {"cat": 1, "dog": 2}}
    assert (summary.images, summary.imbalance) == (12, 2.0)
    assert (summary.width.low, summary.width.median, summary.width.high) == (40.0, 60.0, 60.0)
    assert (summary.height.low, summary.height.high) == (30.0, 80.0)
    assert (summary.aspect.low, summary.aspect.high) == (0.5, 2.0)
    assert summary.modes == {"L": 1, "RGB": 11}
    assert summary.crop_loss == pytest.approx(9 * 0.5 / 12)
    assert not summary.near_checked


@pytest.mark.parametrize(
    ("splits", "counted", "rule"),
    [
        ({"": 20}, 40, "cut"),
        ({"train": 10, "val": 5}, 20, "given"),
        ({"train": 10, "val": 4, "test": 5}, 28, "given"),
    ],
)
def test_the_prior_counts_what_can_be_trained_on_before_our_cut(
    tmp_path: Path, splits: dict[str, int], counted: int, rule: str
) -> None:
    """Readable images outside a given test, or outside a val that serves as the test (docs/design.md 4.3)."""
    for number, (name, count) in enumerate(splits.items()):
        folder(tmp_path / name if name else tmp_path, {"cat": count, "dog": count}, start=100 * number, size=(12, 12))
    summary = measured(tmp_path)
    assert summary.training_images == counted
    assert summary.per_class == counted / 2
    assert summary.split.rule == rule


def test_deep_finds_truncated_files_and_near_duplicates(tmp_path: Path) -> None:
    """Only decoding shows them; the header scan reads neither."""
    root = folder(tmp_path, {"cat": 10, "dog": 10}, size=(100, 80))
    cut = root / "cat" / "0003.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    save(photo(12, (100, 80)), root / "cat" / "again.webp", quality=80)
    flat, deep = measured(root), measured(root, deep=True, store=cache.Store())
    assert (flat.images, flat.unreadable, flat.duplicates) == (21, (), ())
    assert deep.near_checked
    assert [u.path for u in deep.unreadable] == ["cat/0003.jpg"]
    assert [g.paths for g in deep.duplicates] == [("cat/again.webp", "dog/0012.jpg")]
    assert deep.duplicates[0].labels_differ
    assert deep.images == 20
    assert deep.fingerprint == flat.fingerprint
    assert any("conflicting labels" in w for w in deep.warnings)
    assert any("cat/0003.jpg: truncated" in w for w in deep.warnings)


def test_what_deep_found_broken_is_set_aside(tmp_path: Path) -> None:
    """The data set loses the items, lists them once, recounts, and keeps its fingerprint."""
    root = folder(tmp_path, {"cat": 6, "dog": 6}, size=(100, 80))
    path = root / "dog" / "0008.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    data = dataset.read(root)
    deep = profile.measure(data, deep=True)
    remaining = profile.set_aside(data, deep.unreadable)
    assert len(remaining.items) == 11
    assert remaining.split.pool + remaining.split.test == 11
    assert remaining.fingerprint == data.fingerprint
    assert [u.path for u in remaining.unreadable] == ["dog/0008.jpg"]
    assert profile.set_aside(remaining, deep.unreadable) == remaining


def test_leaks_are_shown_and_can_be_removed(tmp_path: Path) -> None:
    """An image in train and test is warned of; without_leaks drops it from train only."""
    folder(tmp_path / "train", {"cat": 5, "dog": 5}, size=(100, 80))
    folder(tmp_path / "test", {"cat": 3, "dog": 3}, start=50, size=(100, 80))
    shutil.copy(tmp_path / "train/cat/0001.jpg", tmp_path / "test/cat/leak.jpg")
    save(photo(7, (100, 80)), tmp_path / "test/dog/leak.png")
    data = dataset.read(tmp_path)
    deep = profile.measure(data, deep=True)
    assert len(profile.leaks(deep)) == 2
    assert deep.warnings[0].startswith("leak: 2 training images with a duplicate in the test set")
    clean = profile.without_leaks(data, deep)
    assert clean.test == data.test
    assert {i.path for i in data.pool} - {i.path for i in clean.pool} == {"train/cat/0001.jpg", "train/dog/0007.jpg"}
    assert profile.leaks(profile.measure(clean, deep=True)) == ()
    assert profile.without_leaks(clean, profile.measure(clean, deep=True)) == clean


@pytest.mark.parametrize(
    ("train", "test", "warning"),
    [
        ({"cat": 40, "dog": 3}, {"cat": 2, "dog": 2}, "imbalanced classes: the largest has 13 times"),
        ({"cat": 4, "dog": 12}, {"cat": 2, "dog": 2}, "fewer than 10 training images in 1 class: cat"),
        ({"cat": 4, "dog": 4}, {"cat": 2}, "no test images, hence no test score, for 1 class: dog"),
        ({"cat": 4, "dog": 4}, {"cat": 2, "dog": 1}, "the test set has only 3 images"),
        ({"cat": 4, "dog": 4}, {"cat": 2, "dog": 1}, "11 images smaller than 32 pixels"),
    ],
)
def test_what_makes_a_score_doubtful_is_said(
    tmp_path: Path, train: dict[str, int], test: dict[str, int], warning: str
) -> None:
    """Uneven, few, untested, tiny: one line each."""
    folder(tmp_path / "train", train, size=(20, 20))
    folder(tmp_path / "test", test, start=100, size=(20, 20))
    assert any(warning in line for line in measured(tmp_path).warnings)


def test_a_class_that_only_validation_holds_is_said(tmp_path: Path) -> None:
    """No fold trains on it, so that its images do not validate; --val pool trains on them."""
    folder(tmp_path / "train", {"cat": 12, "dog": 12})
    folder(tmp_path / "val", {"cat": 6, "dog": 6, "cow": 2}, start=100)
    folder(tmp_path / "test", {"cat": 2, "dog": 2}, start=200)
    (note,) = [line for line in measured(tmp_path).warnings if "only in the validation set" in line]
    assert note.startswith(
        "1 class only in the validation set (cow): no validation score of it; 2 images for the final"
    )
    pooled = profile.measure(dataset.read(tmp_path, options=ReadOptions(val="pool")))
    assert not [line for line in pooled.warnings if "only in the validation set" in line]


def test_wide_images_and_shared_groups_are_said(tmp_path: Path) -> None:
    """A crop that cuts much away, and manifest groups on both sides of a given test."""
    root = folder(tmp_path, {"img": 12}, size=(120, 40))
    rows = [f"img/{i:04d}.jpg,{'ab'[i % 2]},{'test' if i < 4 else 'train'},p{i % 3}" for i in range(12)]
    (root / "m.csv").write_text("path,label,split,group\n" + "\n".join(rows))
    summary = measured(root / "m.csv")
    assert any("removes 67%" in line for line in summary.warnings)
    assert any(
        "3 groups of the manifest in both training and test set: p0, p1, p2" in line for line in summary.warnings
    )


@pytest.mark.parametrize(
    ("counts", "what"),
    [
        ({"only": 5}, r"only one class \(only\)"),
        ({"a": 1, "b": 1, "c": 1}, "every class has one training image"),
    ],
)
def test_what_cannot_be_learned_is_refused_in_one_line(tmp_path: Path, counts: dict[str, int], what: str) -> None:
    """One class, or one image in every class: what is wrong and what would help."""
    with pytest.raises(DatasetError, match=what) as caught:
        profile.check_learnable(dataset.read(folder(tmp_path, counts)))
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_a_single_class_with_one_image_is_no_obstacle(tmp_path: Path) -> None:
    """Classes with one image among larger ones are kept in training and warned of."""
    data = dataset.read(folder(tmp_path, {"a": 1, "b": 9, "c": 9}, size=(40, 40)))
    profile.check_learnable(data)
    assert {i.split for i in data.items if i.label == 0} == {"pool"}
    assert any("no test score, for 1 class: a" in w for w in profile.measure(data).warnings)


def test_a_profile_can_be_written_as_json(tmp_path: Path) -> None:
    """Every field is plain data, names with stray bytes included."""
    root = folder(tmp_path, {"cat": 3, "dog": 3})
    (root / "cat" / "\udcff.jpg").write_bytes(b"broken")
    summary = measured(root)
    assert json.loads(json.dumps(asdict(summary)))["images"] == 6


def test_hymenoptera_is_measured_as_its_readme_says(hymenoptera: Path) -> None:
    """Real photographs: 245 to learn from and 153 in the test that val/ is; no leak between them."""
    summary = measured(hymenoptera, deep=True)
    assert (summary.training_images, summary.split.test, summary.classes) == (245, 153, ("ants", "bees"))
    assert summary.duplicates == ()
    assert summary.unreadable == ()
