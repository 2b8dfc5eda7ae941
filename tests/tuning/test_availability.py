"""A shortlist of weights to fetch: two kinds of pretraining, within bytes and time, with or without published numbers."""

from __future__ import annotations

from advisor.hooks import Backbone, Preprocess, Stage, Weights
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
