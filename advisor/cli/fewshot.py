"""`tl-advise fewshot`: how well a backbone's features tell new classes apart from a handful of images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options

if TYPE_CHECKING:
    from advisor.workflows.fewshot import FewShotResult


@click.command(name="fewshot")
@click.argument("dataset", type=click.Path())
@click.option(
    "--ways", type=click.IntRange(min=2), default=5, show_default=True, metavar="N", help="Classes an episode."
)
@click.option("--shots", type=click.IntRange(min=1), default=5, show_default=True, metavar="K", help="Images a class.")
@click.option(
    "--queries", type=click.IntRange(min=1), default=15, show_default=True, metavar="N", help="To be told apart."
)
@click.option("--episodes", type=click.IntRange(min=2), default=600, show_default=True, metavar="N", help="How many.")
@click.option("--strategy", "strategies", multiple=True, metavar="NAME", help="Only this strategy (repeatable).")
@click.option("--epochs", type=click.FloatRange(min=0.1), metavar="N", help="Of strategies that train. [their own]")
@click.option(
    "--layers",
    type=click.Choice(["all", "last"]),
    default="all",
    show_default=True,
    help="Features of every stage, or last.",
)
@_options.single()
def command(
    dataset: str,
    ways: int,
    shots: int,
    queries: int,
    episodes: int,
    strategies: tuple[str, ...],
    epochs: float | None,
    layers: str,
    as_json: bool,
    quiet: bool,
    **call: Any,
) -> int:
    """Evaluate few-shot learning: N classes, K labelled images of each, over many episodes.

    Without --strategy, every strategy that fits a head on frozen features takes part. One that trains the network
    (episodic, full, ...) trains it on 60 % of the classes, and all are tested on the others. All see the same episodes.
    Only training images are used. Classes with fewer than K plus the queries' images are left out.

    \b
    Examples:
      tl-advise fewshot ./photos --ways 5 --shots 5 --episodes 600
      tl-advise fewshot ./photos --shots 1 --strategy prototypes --strategy ridge
      tl-advise fewshot ./photos --strategy prototypes --strategy episodic --layers last
      tl-advise fewshot ./photos --backbone mobilenet_v2 --size 128 --json
    """
    from advisor.cli._standalone import answering, settings
    from advisor.workflows import fewshot
    from advisor.workflows.session import make_candidate, open_session, pool_context

    with answering(quiet) as report:
        session = open_session(settings(dataset, call), report=report)
        names = list(strategies) or fewshot.capable(session.resources.registry.strategies, pool_context(session))
        known = session.resources.registry
        tried = [
            make_candidate(session, n, fewshot.shared_parameters(known.strategy(n), layers, epochs)) for n in names
        ]
        answer = fewshot.evaluate(
            session,
            tried,
            ways=ways,
            shots=shots,
            queries=queries,
            count=episodes,
            seed=call["seed"],
            layers=layers,
            report=report,
        )
    for warning in session.warnings:
        click.echo(f"note: {warning}", err=True)
    if as_json:
        from dataclasses import asdict

        click.echo(json.dumps({"schema": 1, **asdict(answer)}, indent=2, allow_nan=False))
    else:
        _print(answer)
    return 0


def _print(answer: FewShotResult) -> None:
    from advisor.cli import _console, _result_table

    out = _console.console()
    table = _console.listing("strategy", "accuracy", "95 % interval", "behind the best", "")
    for score in answer.scores:
        behind = "" if score.behind == 0 else f"{100 * score.behind:.1f} ± {50 * _width(score.behind_ci95):.1f} points"
        span = f"{100 * score.ci95[0]:.1f} - {100 * score.ci95[1]:.1f} %"
        table.add_row(_result_table.text(score.strategy), f"{100 * score.accuracy:.1f} %", span, behind, "")
    out.print(
        f"{answer.ways}-way {answer.shots}-shot, {answer.queries} queries a class, {answer.episodes} episodes: "
        f"{_result_table.text(answer.backbone)} at {answer.size_px} px"
    )
    if answer.base_classes:
        out.print(
            f"trained on {len(answer.base_classes)} classes where training is needed, tested on {len(answer.classes)} others"
        )
    out.print(table)
    if answer.left_out:
        out.print(f"{len(answer.left_out)} of {_all(answer)} classes have too few images")


def _all(answer: FewShotResult) -> int:
    return len(answer.left_out) + len(answer.classes) + len(answer.base_classes)


def _width(span: tuple[float, float]) -> float:
    return span[1] - span[0]
