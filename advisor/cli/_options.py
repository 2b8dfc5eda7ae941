"""Options that several commands share (docs/design.md 3.1), spelled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def training(default_budget: str | None = "15m") -> Callable[[F], F]:
    """Give a command the options of those that train."""
    options = [
        click.option(
            "--budget", metavar="TIME", help=f"Hard limit, everything included: 90s, 10m, 1h. [{default_budget}]"
        ),
        click.option("--trials", type=click.IntRange(min=1), metavar="N", help="A reproducible amount of work."),
        click.option("--out", type=click.Path(), metavar="DIR", help="Run directory. [./tl-advise-runs/NAME-TIME]"),
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N"),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            metavar="N",
            help="Trials at the same time; with more than one, the same seed need not give the same trials. "
            "[1, or one per visible GPU]",
        ),
        click.option(
            "--storage", metavar="URL", help="Keep the study in a team's database: docs/scale.md. [TL_ADVISE_STORAGE]"
        ),
        click.option("--study", metavar="NAME", help="The search's name there. [the run directory's]"),
        click.option("--size", "size_px", type=click.IntRange(min=16, max=2048), metavar="PX", help="Input size."),
        click.option("--backbone", "backbones", multiple=True, metavar="NAME", help="Only this backbone (repeatable)."),
        click.option(
            "--strategy", "strategies", multiple=True, metavar="NAME", help="Only this strategy (repeatable)."
        ),
        click.option("--regime", metavar="NAME", help="feature_extraction, partial or full: overrule the advice."),
    ]
    return _all([*options, *_machine()])


def _machine() -> list[Callable[[F], F]]:
    return [
        click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu or cuda[:i]."),
        click.option("--weights-dir", type=click.Path(), metavar="DIR", help="Look for pretrained weights here first."),
        click.option("--offline", is_flag=True, help="Never touch the network."),
        *_answers(),
    ]


def _answers() -> list[Callable[[F], F]]:
    return [
        click.option("--quiet", is_flag=True, help="No progress, only warnings and the answer."),
        click.option("--json", "as_json", is_flag=True, help="The answer as JSON on standard output."),
    ]


def single() -> Callable[[F], F]:
    """Give a command the options of those that open a data set for one backbone."""
    options = [
        click.option("--backbone", metavar="NAME", help="The network. [the most accurate whose weights are here]"),
        click.option("--size", "size_px", type=click.IntRange(min=16, max=2048), metavar="PX", help="Input size."),
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N"),
        click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads. [all cores]"),
    ]
    return _all([*options, *_machine()])


def machine() -> Callable[[F], F]:
    """Give a command the options that say where it runs and how it answers."""
    return _all(_machine())


def _all(options: list[Callable[[F], F]]) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
