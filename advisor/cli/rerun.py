"""`tl-advise rerun`: train a recipe again and compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options

if TYPE_CHECKING:
    from advisor.workflows.rerun_verify import Rerun


@click.command(name="rerun")
@click.argument("recipe", type=click.Path())
@click.option("--verify", is_flag=True, help="Compare with what the recipe says; exit 3 where it does not hold.")
@click.option("--data", type=click.Path(), metavar="PATH", help="Use these data (other data: own splits, same epochs).")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Repeat; mean, std."
)
@click.option("--out", type=click.Path(), metavar="DIR", help="Keep the model here.")
@click.option("--devices", type=click.IntRange(min=1), metavar="K", help="Train on K devices. [as the recipe says]")
@click.option("--target", metavar="DIR", help="Of an adaptation: where its unlabelled images lie now, or other ones.")
@click.option("--source", metavar="DIR", help="Images of the source's classes: how much of them is forgotten?")
@_options.machine()
def command(
    recipe: str,
    verify: bool,
    data: str | None,
    out: str | None,
    target: str | None,
    source: str | None,
    quiet: bool,
    as_json: bool,
    **call: Any,
) -> int:
    """Train a recipe again, score it, and compare: the refit and the test, nothing else.

    RECIPE is a recipe.yaml or a run directory.

    \b
    Examples:
      tl-advise rerun run1 --verify
      tl-advise rerun run1/recipe.yaml --data ./other-photos --out run2
      tl-advise rerun run1 --seeds 5
      tl-advise rerun run1 --source ./imagenet-sample
      tl-advise rerun adapted1 --verify --target ./sketches
    """
    from advisor.runtime.atomic_file import to_json
    from advisor.runtime.run_dir import RunDir
    from advisor.workflows import rerun_verify

    place = RunDir.create(Path(out), data=Path(data or ".")).path if out else None
    call = {**call, "data": Path(data) if data else None, "out": place}
    result = _rerun(Path(recipe), target, source, call, quiet=quiet)
    agreed = rerun_verify.verify(result) if verify else None
    if as_json:
        click.echo(to_json({"result": result, "verified": agreed}), nl=False)
        return 0
    _tell(result, agreed)
    return 0


def _rerun(path: Path, target: str | None, source: str | None, call: dict[str, Any], *, quiet: bool) -> Rerun:
    """Do the recipe again as what it is: a training on labelled images, or an adaptation to a target."""
    from advisor.cli._live_progress import Screen
    from advisor.cli._standalone import answering
    from advisor.data import domains
    from advisor.errors import InputError
    from advisor.records import recipe_file
    from advisor.workflows import rerun, rerun_adaptation

    source_images = (
        domains.read_source(source) if source else None
    )  # before any work, so that an error is reported at once
    told = recipe_file.read(path)
    where = {k: call[k] for k in ("data", "out", "seeds", "weights_dir", "offline")}
    where["device"] = None if call["device"] == "auto" else call["device"]
    if told.target is not None:
        if source or call["devices"]:
            raise InputError("--source and --devices do not apply to the recipe of an adaptation.")
        with answering(quiet) as report:
            return rerun_adaptation.rerun_adapted(
                told, path, **where, target=Path(target) if target else None, report=report
            )
    if target:
        raise InputError(f"--target: {path} is no recipe of an adaptation.", hint="Leave --target out.")
    with Screen(quiet=quiet) as screen:
        return rerun.rerun_recipe(path, **where, devices=call["devices"], source=source_images, listener=screen)


def _tell(result: Any, agreed: str | None) -> None:
    for once in result.runs:
        interval = f" [{once.test.ci95[0]:.3f} .. {once.test.ci95[1]:.3f}]" if once.test else ""
        click.echo(
            f"seed {once.seed}: {result.measured_on} accuracy {once.accuracy:.4f}{interval}, n = {once.n}, "
            f"weights {once.weights_sha256[:12]}"
        )
    if result.std is not None:
        click.echo(f"mean {result.mean:.4f}, std {result.std:.4f}, {len(result.runs)} seeds")
    if result.expected is not None:
        same = "identical weights" if result.identical else "other weights"
        click.echo(f"the recipe says {result.expected:.4f}: {same}")
    if result.forgetting is not None:
        _tell_kept(result.forgetting)
    if agreed:
        click.echo(f"verified: {agreed}")


def _tell_kept(told: Any) -> None:
    click.echo(
        f"features: CKA {told.cka:.3f} to the start" if told.cka is not None else "features never vary", nl=False
    )
    click.echo(f", {100 * told.neighbours:.0f} % of neighbours kept, on {told.images} images")
    if told.source is None:
        click.echo(f"source accuracy: not measured, {told.source_reason}")
        return
    click.echo(
        f"source accuracy: {100 * told.source.after:.1f} %, before {100 * told.source.before:.1f} % "
        f"({told.source.images} images at {told.source.size_px} px)"
    )
    for blend in told.blends:
        click.echo(f"  {blend.share:4.2f} of the way from start to tuned: {100 * blend.source:.1f} %")
