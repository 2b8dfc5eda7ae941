"""A shortlist of weights to fetch: two kinds of pretraining, within bytes and time, with or without published numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from advisor import registry
from advisor.errors import WeightsError
from advisor.hooks import Backbone, Preprocess, Stage, Weights
from advisor.records import LeftOut, Settings
from advisor.tuning import availability


def network(
    name: str, kind: str, accuracy: float | None, macs: float = 1e9, megabytes: float = 50, linear: float | None = None
) -> Backbone:
    """Describe a backbone that could be fetched."""
    return Backbone(
        name=name,
        dim=8,
        stages=(Stage(name="all", prefixes=("all",)),),
        preprocess=Preprocess(size=224, resize=256),
        weights=Weights(file=f"{name}.pth", url="https://example.org/x", bytes=int(megabytes * 1e6)),
        published_accuracy=accuracy,
        transfer_accuracy=linear,
        macs=int(macs),
        pretraining=kind,
    )


SUPERVISED = [network("good", "supervised", 0.84), network("better", "", 0.86), network("weak", "supervised", 0.70)]
SELF = [network("dino", "self_supervised", None, linear=0.80), network("unmeasured", "self_supervised", None)]
SETTINGS = Settings(data="photos", device="cpu", budget_s=900.0)
TEXT = [network("clip", "image_text", None, linear=0.70)]


def chosen(backbones: list[Backbone], count: int = 2, room: float = 1e9, macs: float = 1e10) -> list[str]:
    """Return the names of the shortlist."""
    return [b.name for b in availability.shortlist(backbones, count=count, room_bytes=room, most_macs=macs)]


def test_two_kinds_come_first() -> None:
    """With two places the best of two kinds are taken, not the two most accurate classifiers."""
    assert chosen([*SUPERVISED, *SELF, *TEXT]) == ["better", "dino"]
    assert chosen([*SUPERVISED, *SELF, *TEXT], count=4) == ["better", "dino", "clip", "good"]


def test_one_kind_alone_is_ranked_by_accuracy() -> None:
    """Where only one kind is in reach its best are taken."""
    assert chosen(SUPERVISED) == ["better", "good"]


def test_a_network_without_a_published_number_is_not_passed_over() -> None:
    """It is expected where its kind's line over multiply-adds puts it: a larger one before a smaller, measured one."""
    kind = "self_supervised"
    measured = [network("small", kind, None, 1e9, linear=0.70), network("base", kind, None, 4e9, linear=0.80)]
    assert chosen([*measured, network("large", kind, None, 8e9)], count=1) == ["large"]
    assert chosen([*measured, network("tiny", kind, None, 5e8)], count=1) == ["base"]
    assert chosen([network("only", kind, None)], count=1) == ["only"]


def test_bytes_are_shared() -> None:
    """The files together stay within the room; a smaller one is taken where the best does not fit."""
    heavy = [network("best", "supervised", 0.9, megabytes=90), network("light", "supervised", 0.8, megabytes=30)]
    assert chosen([*heavy, *SELF], room=60e6) == ["light"]
    assert chosen([*heavy, *SELF], room=145e6) == ["best", "dino"]
    assert chosen(heavy, room=10e6) == []


def test_what_is_too_slow_is_not_fetched() -> None:
    """Networks beyond the multiply-adds that the budget affords stay away, whatever their accuracy."""
    slow = network("slow", "supervised", 0.95, macs=1e11)
    assert chosen([slow, *SUPERVISED], count=1, macs=1e10) == ["better"]


def test_a_restricting_licence_comes_last() -> None:
    """What may not be used freely is never the first suggestion, whatever its accuracy."""
    closed = network("closed", "supervised", 0.95)
    closed = replace(closed, weights=replace(closed.weights, licence="cc-by-nc-4.0"))
    assert [b.name for b in availability.by_worth([closed, *SUPERVISED], SETTINGS)] == [
        "better",
        "good",
        "weak",
        "closed",
    ]


def test_worth_follows_budget_and_device() -> None:
    """A short budget on a processor asks for a small network, a long one on a GPU for the most accurate."""
    nets = [network(f"net{i}", "supervised", 0.7 + 0.04 * i, macs=10 ** (8 + i)) for i in range(4)]
    assert availability.by_worth(nets, replace(SETTINGS, budget_s=60.0))[0].name == "net0"
    assert availability.by_worth(nets, replace(SETTINGS, budget_s=900.0))[0].name == "net1"
    assert availability.by_worth(nets, replace(SETTINGS, budget_s=900.0, device="cuda"))[0].name == "net3"


def test_equals_to_the_point_are_decided_by_multiply_adds() -> None:
    """Of two networks whose accuracies differ by less than a point, the cheaper one comes first."""
    heavy, light = network("heavy", "supervised", 0.803, macs=3e9), network("light", "supervised", 0.799, macs=1e9)
    assert chosen([heavy, light], count=1) == ["light"]


def test_what_was_left_out_is_one_row_per_reason() -> None:
    """A hundred networks are a row with their number, the most useful by name with its command and download size."""
    nets = {b.name: b for b in [network(f"net{i}", "supervised", i / 100, megabytes=7) for i in range(100)]}
    rows = [LeftOut(backbone=n, reason="not downloaded", command=f"fetch {n}") for n in nets]
    broken = LeftOut(backbone="lost", reason="reinstall it", command="")
    folded = availability.fold([broken, *rows], nets, SETTINGS)
    assert folded == [
        LeftOut(backbone="net99", reason="not downloaded", command="fetch net99", count=100, bytes=7_000_000),
        broken,
    ]


def test_only_the_built_in_network_names_a_stronger_one() -> None:
    """The warning has the command of the first row, and none where nothing can be done."""
    built_in = replace(network("own", "supervised", None), weights=Weights(path="/somewhere/own.pth"))
    row = LeftOut(backbone="net", reason="not downloaded", command="tl-advise weights fetch net", count=9)
    assert availability.narrow_choice([built_in], [row])[0].endswith(
        "; `tl-advise weights fetch net` adds a stronger one"
    )
    assert availability.narrow_choice([built_in], [replace(row, command="")])[0].endswith("weights are available")
    assert availability.narrow_choice([built_in], []) == []


def test_a_hint_names_no_option_that_the_command_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `advise` trains from scratch: commands that do not search name neither --strategy nor scratch."""
    plugins = registry.load(select=["torchvision", "strategies"])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TL_ADVISE_CACHE", str(tmp_path))
    settings = Settings(data="photos", offline=True)
    for searches in (True, False):
        with pytest.raises(WeightsError) as caught:
            availability.find(plugins, settings, plugins.strategies, searches=searches)
        assert ("--strategy scratch" in caught.value.hint) == searches
        assert "tl-advise weights fetch" in caught.value.hint
