"""`tl-advise lr-find`: the learning-rate range test on one backbone and strategy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options

if TYPE_CHECKING:
    from advisor.workflows.lr_finder import Sweep


@click.command(name="lr-find")
@click.argument("dataset", type=click.Path())
@click.option("--strategy", default="full", show_default=True, metavar="NAME", help="What is trained.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="A parameter of it (repeatable).")
@click.option("--low", type=float, default=1e-6, show_default=True, metavar="RATE", help="First rate.")
@click.option("--high", type=float, default=1.0, show_default=True, metavar="RATE", help="Last rate.")
@click.option("--steps", type=int, default=100, show_default=True, metavar="N", help="Steps, one a rate.")
@click.option("--plot", type=click.Path(), metavar="FILE", help="Draw it into an .svg or .html file.")
@_options.single()
def command(
    dataset: str,
    strategy: str,
    changes: tuple[str, ...],
    low: float,
    high: float,
    steps: int,
    plot: str | None,
    as_json: bool,
    quiet: bool,
    **call: Any,
) -> int:
    """Find a learning rate: train a throw-away network while its rate rises, and read the losses.

    All groups of the strategy rise together, in the proportions that it gives them; the rate named is that of the last
    stage (of the head, where nothing else trains). Only training images are used. Nothing is kept.

    \b
    Examples:
      tl-advise lr-find ./photos
      tl-advise lr-find ./photos --strategy partial --set optimizer=sgd --high 10
      tl-advise lr-find ./photos --backbone mobilenet_v2 --plot rates.html --json
    """
    from advisor.cli._standalone import answering, place_for, settings
    from advisor.workflows import lr_finder
    from advisor.workflows.session import make_candidate, open_session, parse_parameters

    lr_finder.rates(low, high, steps)
    target = place_for(plot, (".svg", ".html"), "--plot")
    with answering(quiet) as report:
        session = open_session(settings(dataset, call), report=report)
        chosen = session.resources.registry.strategy(strategy)
        candidate = make_candidate(session, strategy, parse_parameters(chosen, changes))
        found = lr_finder.sweep(
            session.resources, candidate, low=low, high=high, steps=steps, seed=call["seed"], report=report
        )
    if target is not None:
        _draw(found, target)
    if as_json:
        click.echo(json.dumps(facts(found), indent=2, allow_nan=False))
    else:
        _print(found)
    return 0


def facts(found: Sweep) -> dict[str, Any]:
    """Give the answer as plain values (schema 1)."""
    from dataclasses import asdict

    return {
        "schema": 1,
        "backbone": found.candidate.backbone,
        "strategy": found.candidate.strategy,
        "size_px": found.candidate.size_px,
        "parameters": found.candidate.parameters,
        "parameter": found.parameter or None,
        "suggestion": asdict(found.suggestion),
        "rates": found.rates,
        "losses": found.losses,
        "smoothed": found.smoothed,
    }


def _print(found: Sweep) -> None:
    from advisor.reporting import standalone_charts

    told = found.suggestion
    c = found.candidate
    click.echo(f"{c.strategy} on {c.backbone} at {c.size_px} px: smoothed training loss over the rate")
    click.echo(standalone_charts.in_characters(found.rates, found.smoothed, mark=told.rate))
    click.echo(f"suggested rate {told.rate:.1e}{f' ({found.parameter})' if found.parameter else ''}: {told.reason}")
    ending = f"training broke down at {told.diverged_at:.1e}" if told.diverged_at else "training held to the end"
    click.echo(f"steepest fall at {told.steepest:.1e}, lowest at {told.lowest:.1e}; {ending}")


def _draw(found: Sweep, target: Path) -> None:
    from advisor.reporting import html_page, standalone_charts
    from advisor.reporting.report_plots import Line
    from advisor.runtime.atomic_file import write_atomically

    c = found.candidate
    title = f"{c.strategy} on {c.backbone}: training loss over the learning rate"
    series = [
        Line(name="smoothed", kind="smoothed", xs=found.rates, ys=found.smoothed),
        Line(name="each step", kind="raw", xs=found.rates, ys=found.losses),
    ]
    drawn = standalone_charts.lines(series, title=title, x_title="rate", log_x=True, mark=found.suggestion.rate)
    if target.suffix == ".svg":
        write_atomically(target, drawn)
        return
    told = f"Suggested: {found.suggestion.rate:.1e} - {found.suggestion.reason}."
    write_atomically(target, html_page.page(title, [(told, drawn)]))
