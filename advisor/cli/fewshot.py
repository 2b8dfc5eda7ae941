"""`tl-advise fewshot`: accuracy of few-shot heads, with a handful of images per class, over many episodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options

if TYPE_CHECKING:
    from advisor.workflows.fewshot import FewShotResult


@click.command(name="fewshot")
@click.argument("dataset", type=click.Path())
@click.option(
    "--ways", type=click.IntRange(min=2), default=5, show_default=True, metavar="N", help="Classes per episode."
)
@click.option(
    "--shots", type=click.IntRange(min=1), default=5, show_default=True, metavar="K", help="Labelled images per class."
)
@click.option(
    "--queries", type=click.IntRange(min=1), default=15, show_default=True, metavar="N", help="Query images per class."
)
@click.option(
    "--episodes", type=click.IntRange(min=2), default=600, show_default=True, metavar="N", help="Number of episodes."
)
@click.option("--strategy", "strategies", multiple=True, metavar="NAME", help="Only this strategy (repeatable).")
@click.option(
    "--epochs",
    type=click.FloatRange(min=0.1),
    metavar="N",
    help="Epochs of strategies that train the network. [their own]",
)
@click.option(
    "--layers",
    type=click.Choice(["all", "last"]),
    default="all",
    show_default=True,
    help="Use the features of all stages, or of the last one.",
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
    """Evaluate few-shot learning: N classes with K labelled images each, over many episodes.

    Without --strategy, every strategy that fits a head on frozen features is evaluated. A strategy that trains the
    network (episodic, full, ...) trains it on 60 % of the classes; then all strategies are evaluated on the other
    classes, in the same episodes. Only training images are used. Classes with too few images are skipped.

    \b
    Examples:
      tl-advise fewshot ./photos --ways 5 --shots 5 --episodes 600
      tl-advise fewshot ./photos --shots 1 --strategy prototypes --strategy ridge
      tl-advise fewshot ./photos --strategy prototypes --strategy episodic --layers last
      tl-advise fewshot ./photos --backbone mobilenet_v2 --size 128 --json
    """
    from advisor.cli import _console
    from advisor.cli._standalone import settings
    from advisor.workflows import fewshot
    from advisor.workflows.session import make_candidate, open_session, pool_context

    with _console.bar(quiet) as report:
        session = open_session(settings(dataset, call), report=report)
        names = list(strategies) or fewshot.capable(session.resources.registry.strategies, pool_context(session))
        registry = session.resources.registry
        tried = [
            make_candidate(session, n, fewshot.shared_parameters(registry.strategy(n), layers, epochs)) for n in names
        ]
        evaluated = fewshot.evaluate(
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
        _console.note(warning)
    if as_json:
        from dataclasses import asdict

        _console.as_json({"schema": 1, **asdict(evaluated)})
    else:
        _print(evaluated)
    return 0


def _print(evaluated: FewShotResult) -> None:
    from advisor.cli import _console
    from advisor.reporting import insight_text

    out = _console.console()
    table = _console.listing("strategy", "accuracy", "95 % interval", "difference to the best", "")
    for score in evaluated.scores:
        behind = "" if score.behind == 0 else f"{100 * score.behind:.1f} ± {50 * _width(score.behind_ci95):.1f} points"
        span = f"{100 * score.ci95[0]:.1f} - {100 * score.ci95[1]:.1f} %"
        table.add_row(_console.text(score.strategy), f"{100 * score.accuracy:.1f} %", span, behind, "")
    out.print(
        f"{evaluated.ways}-way {evaluated.shots}-shot, {evaluated.queries} query images per class, "
        f"{evaluated.episodes:,} episodes: {_console.text(evaluated.backbone)} at {evaluated.size_px} px"
    )
    if evaluated.joined is not None:
        out.print(f"{insight_text.joined(evaluated.joined)}, and in every episode")
    if evaluated.base_classes:
        out.print(
            f"Strategies that train the network: {len(evaluated.base_classes)} classes for training, "
            f"{len(evaluated.classes)} for the test"
        )
    out.print(table)
    if evaluated.left_out:
        out.print(f"Skipped: {len(evaluated.left_out)} of {_all(evaluated)} classes have too few images")


def _all(evaluated: FewShotResult) -> int:
    return len(evaluated.left_out) + len(evaluated.classes) + len(evaluated.base_classes)


def _width(span: tuple[float, float]) -> float:
    return span[1] - span[0]
