"""An adaptation as a run: opened, trained within a budget, and written to a run directory.

In: settings, the folder of the target, a clock. Out: the `Adaptation`, its folder and warnings. A budget that is too short
is named before anything trains. Does NOT cover: training and choosing (`adaptation`).
"""

from __future__ import annotations

import datetime
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from advisor.aliases import NamedProgress, Note
from advisor.data import splits
from advisor.data.remote import urls
from advisor.errors import InputError
from advisor.records import Settings, recipe_file
from advisor.reporting import model_card, stored_results
from advisor.runtime import durations
from advisor.runtime.atomic_file import to_json, write_atomically
from advisor.runtime.clock import Clock
from advisor.runtime.run_dir import RunDir, default_folder
from advisor.selection import run_end
from advisor.tuning import budget
from advisor.workflows import adaptation
from advisor.workflows.adaptation import Adaptation
from advisor.workflows.session import Session, open_session

SEEDS = 3  # at most, as far as the budget allows; at least one; --trials changes the number
SHARE = 0.8  # of the remaining budget goes into the first round; the rest is for reading and scoring
MAX_EPOCHS = 10.0
UNHEEDED = {  # fields of the settings that only a search heeds, and their options
    "objective": "--objective",
    "max_ms": "--max-ms",
    "max_mb": "--max-mb",
    "regime": "--regime",
    "experience": "--experience",
    "relabel": "--relabel",
    "remove_leaks": "--remove-leaks",
    "source": "--source",
    "devices": "--gpus",
    "workers": "--workers",
    "ray": "--ray",
    "data_on_nodes": "--data-on-nodes",
    "storage": "--storage",
    "study": "--study",
    "log": "--log",
}
HOPELESS = 4.0  # predictions from cards are off by a factor of two or three: refuse only beyond this


@dataclass(frozen=True, kw_only=True)
class AdaptedRun:
    """What was found, the folder with model and recipe, and warnings about the data."""

    adaptation: Adaptation
    folder: Path
    warnings: tuple[str, ...]


def run(
    settings: Settings,
    target: str,
    *,
    out: Path | None,
    clock: Clock,
    report: NamedProgress,
    note: Note,
) -> AdaptedRun:
    """Adapt within the budget and write everything into a run directory.

    Raises InputError where the call is at fault or the budget is hopelessly short, TrialError where the arms did not end
    in time.
    """
    check_options(settings)
    urls.check_exists(settings.data)
    if len(settings.backbones) > 1:
        raise InputError("--target works with one --backbone.", hint="Name only one.")
    if settings.budget_s is not None and settings.budget_s < budget.FLOOR_S:
        note(f"a budget of {durations.words(settings.budget_s)} is hardly longer than the start of an adaptation")
    data = urls.public_path(settings.data)
    folder = out or default_folder(data, datetime.datetime.now())
    arms = settings.strategies or adaptation.ARMS
    with RunDir.create(folder, data=data).filled():
        session = open_session(
            replace(settings, budget_s=None), target=target, budget_s=settings.budget_s, report=report
        )
        left_s = clock.left_s
        check_budget(adaptation.needs_s(session, len(arms), 1.0), left_s, len(arms), note)
        write_call(folder, replace(settings, target=target))
        adapted = adaptation.adapt(
            session,
            arms=arms,
            seeds=range(settings.seed, settings.seed + (settings.trials or SEEDS)),
            epochs=min(MAX_EPOCHS, max(1.0, adaptation.epochs_within(session, len(arms), SHARE * left_s))),
            deadline=None if left_s == float("inf") else time.monotonic() + left_s - 2.0,
            settings=settings,
            to=folder,
            report=report,
        )
        write_pages(folder, session, adapted)
    return AdaptedRun(adaptation=adapted, folder=folder, warnings=session.warnings)


def write_call(folder: Path, settings: Settings) -> None:
    """Write down what is adapted to what, by which other commands know the run; call it before anything else is written."""
    write_atomically(folder / "run.json", to_json(settings))


def write_pages(folder: Path, session: Session, adapted: Adaptation) -> None:
    """Write splits, model card and numbers beside the model and its recipe, the numbers last."""
    splits.write_csv(session.dataset, folder / "splits.csv")  # which images an export is compared on
    licence = run_end.licence(session.backbone)
    card = model_card.render_adapted(recipe_file.read(folder), licence=licence, run=str(folder))
    write_atomically(folder / "README.md", card)
    write_atomically(folder / stored_results.ADAPTATION, to_json({"schema": 1, **asdict(adapted)}))


def check_options(settings: Settings) -> None:
    """Raise InputError for options that an adaptation would not heed."""
    plain = Settings(data=settings.data)
    given = {name: getattr(settings, name) for name in UNHEEDED}
    unheeded = [UNHEEDED[name] for name, value in given.items() if value and value != getattr(plain, name)]
    if unheeded:
        verb, them = ("do", "them") if len(unheeded) > 1 else ("does", "it")
        raise InputError(f"{', '.join(unheeded)} {verb} not work with --target.", hint=f"Remove {them}.")


def check_budget(needs_s: float, left_s: float, arms: int, note: Note) -> None:
    """Warn at the start if one epoch per arm probably does not fit. Raises InputError where it certainly does not."""
    if needs_s <= left_s:
        return
    minutes = f"{max(1, round(1.5 * (needs_s + budget.FLOOR_S) / 60 + 0.5))}m"
    what = (
        f"one epoch of each of the {arms} arms needs about {durations.words(needs_s)}, {durations.words(max(0.0, left_s))} "
        "are left"
    )
    hint = f"Try --budget {minutes}, one --strategy, or a smaller --size."
    if needs_s > HOPELESS * left_s:
        raise InputError(f"the budget is too short for --target: {what}.", hint=hint)
    note(f"{what}: the adaptation may not end in time. {hint}")
