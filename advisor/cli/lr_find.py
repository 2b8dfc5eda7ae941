"""`tl-advise lr-find`: the learning-rate range test on one backbone and strategy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options

if TYPE_CHECKING:
    from advisor.workflows.lr_finder import Sweep


@click.command(name="lr-find")
@click.argument("dataset", type=click.Path())
@click.option("--strategy", default="full", show_default=True, metavar="NAME", help="Strategy to train with.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Strategy parameter (repeatable).")
@click.option("--low", type=float, default=1e-6, show_default=True, metavar="RATE", help="Lowest rate.")
@click.option("--high", type=float, default=1.0, show_default=True, metavar="RATE", help="Highest rate.")
@click.option(
    "--steps", type=int, default=100, show_default=True, metavar="N", help="Number of steps; each has its own rate."
)
@click.option("--plot", type=click.Path(), metavar="FILE", help="Also draw the curve into this .svg or .html file.")
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
    """Find a learning rate: train a temporary network with a rising rate, and watch the loss (a range test).

    The rates of all stages rise together, in the proportions of the strategy; the rate shown is that of the last stage
    (of the head, where only the head trains). Only training images are used. No model is kept.

    \b
    Examples:
      tl-advise lr-find ./photos
      tl-advise lr-find ./photos --strategy partial --set optimizer=sgd --high 10
      tl-advise lr-find ./photos --backbone mobilenet_v2 --plot rates.html --json
    """
    from advisor.cli import _console
    from advisor.cli._standalone import output_file, settings
    from advisor.workflows import lr_finder
    from advisor.workflows.session import make_candidate, open_session, parse_parameters

    lr_finder.rates(low, high, steps)
    target = output_file(plot, (".svg", ".html"), "--plot")
    with _console.bar(quiet) as report:
        session = open_session(settings(dataset, call), report=report)
        chosen = session.resources.registry.strategy(strategy)
        candidate = make_candidate(session, strategy, parse_parameters(chosen, changes))
        sweep = lr_finder.sweep(session, candidate, low=low, high=high, steps=steps, seed=call["seed"], report=report)
    if target is not None:
        _draw(sweep, target)
    if as_json:
        _console.as_json(facts(sweep))
    else:
        _print(sweep)
    return 0


def facts(sweep: Sweep) -> dict[str, Any]:
    """Return the result as plain values (schema 1)."""
    from dataclasses import asdict

    return {
        "schema": 1,
        "backbone": sweep.candidate.backbone,
        "strategy": sweep.candidate.strategy,
        "size_px": sweep.candidate.size_px,
        "parameters": sweep.candidate.parameters,
        "parameter": sweep.parameter or None,
        "suggestion": asdict(sweep.suggestion),
        "rates": sweep.rates,
        "losses": sweep.losses,
        "smoothed": sweep.smoothed,
        "joined": asdict(sweep.joined) if sweep.joined else None,
    }


def _print(sweep: Sweep) -> None:
    from advisor.cli import _console
    from advisor.reporting.charts import standalone_charts

    suggestion, c = sweep.suggestion, sweep.candidate
    _console.say(f"{c.strategy} on {c.backbone} at {c.size_px} px: smoothed training loss against the learning rate")
    _console.command_block(standalone_charts.in_characters(sweep.rates, sweep.smoothed, mark=suggestion.rate))
    parameter = f" ({sweep.parameter})" if sweep.parameter else ""
    _console.say(f"{_suggested(sweep, parameter)}: {suggestion.reason}")
    diverged = suggestion.diverged_at
    ending = f"training diverged at {diverged:.1e}" if diverged else "training did not diverge"
    _console.say(f"steepest fall at {suggestion.steepest:.1e}, lowest loss at {suggestion.lowest:.1e}; {ending}")


def _suggested(sweep: Sweep, parameter: str = "") -> str:
    rate = sweep.suggestion.rate
    return "no suggestion" if rate is None else f"suggested rate {rate:.1e}{parameter}"


def _draw(sweep: Sweep, target: Path) -> None:
    from advisor.reporting import html_page
    from advisor.reporting.charts import standalone_charts
    from advisor.reporting.charts.report_plots import Line
    from advisor.runtime.atomic_file import write_atomically

    c = sweep.candidate
    title = f"{c.strategy} on {c.backbone}: training loss over the learning rate"
    series = [
        Line(name="smoothed", kind="smoothed", xs=sweep.rates, ys=sweep.smoothed),
        Line(name="each step", kind="raw", xs=sweep.rates, ys=sweep.losses),
    ]
    drawn = standalone_charts.lines(series, title=title, x_title="rate", log_x=True, mark=sweep.suggestion.rate)
    if target.suffix == ".svg":
        write_atomically(target, drawn)
        return
    caption = f"{_suggested(sweep).capitalize()}: {sweep.suggestion.reason}."
    write_atomically(target, html_page.page(title, [(caption, drawn)]))
