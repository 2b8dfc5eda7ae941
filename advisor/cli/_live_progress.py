"""What a person sees while a run works, on standard error: one live view on a terminal, plain lines elsewhere.

The view shows the stage, the trial with its fold and epoch, the loss, the best so far, and the time left with what it is
for. Lines of finished trials stay above it. Does NOT cover: the answer (`_result_table`).
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from advisor.cli import _console
from advisor.records import Candidate, Profile, Regime, Trial, messages
from advisor.reporting import wording
from advisor.runtime import durations
from advisor.runtime.clock import Clock
from advisor.runtime.progress import Listener
from advisor.safe_text import printable

WHY_LOG_LOSS = "lower log-loss: more reliable probabilities"  # said where the best has the lower accuracy
WHY_OBJECTIVE = "better by the objective"
SHOWN_DIFFERENCES = 3  # parameters that tell a trial from an earlier one with the same name


class LiveProgress(Listener):
    """Shows stages, progress with loss and accuracy, every trial's end, and the time left. A context manager."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.console = _console.console(stderr=True)
        self.quiet, self.verbose = quiet, verbose
        self.live = Live(self, console=self.console, transient=True, refresh_per_second=6, redirect_stdout=False)
        self.watched = self.console.is_terminal and not quiet
        self.spinner = Spinner("dots")
        self.begun = time.monotonic()
        self.clock: Clock | None = None
        self.reserve_s = 0.0
        self.end_s: float | None = None  # time.monotonic() at which a run by --trials is predicted to end
        self.stage_text, self.stage_begun = "starting", self.begun
        self.now: messages.Progress | None = None
        self.best: Trial | None = None
        self.earlier: dict[tuple[str, str, int], dict[str, Any]] = {}

    def __enter__(self) -> LiveProgress:
        if self.watched:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.watched:
            self.live.stop()

    # ---- what the run reports ----------------------------------------------------------------------------------

    def started(self, clock: Clock) -> None:
        """Store the clock, from which the view reads the time left."""
        self.clock = clock

    def reserved(self, seconds: float) -> None:
        """Store what is reserved for the final training and the test."""
        self.reserve_s = seconds

    def predicted(self, left_s: float, at_most_s: float) -> None:
        """Print how long a run by --trials will take, once; the view shows the time left, predicted anew after every trial."""
        if self.end_s is None:
            most = f", up to {durations.words(at_most_s)}" if at_most_s >= 1.1 * left_s else ""
            self._print(f"predicted time for the rest: about [bold]{durations.words(left_s)}[/bold]{most}")
        self.end_s = time.monotonic() + left_s

    def stage(self, text: str) -> None:
        """Show what begins: in the view, or as a line of its own."""
        self.stage_text, self.stage_begun, self.now = printable(text), time.monotonic(), None
        if not self.watched or self.verbose:
            self._print(f"[dim]{self._at()}{escape(self.stage_text)}[/dim]")

    def note(self, text: str) -> None:
        """Print a warning, also where it is quiet."""
        self.console.print(f"[yellow]note:[/yellow] {escape(printable(text))}", soft_wrap=not self.console.is_terminal)

    def profile(self, profile: Profile, regime: Regime) -> None:
        """Print what the data set holds, and what the rule of thumb says."""
        test = profile.split.test
        held_out = f"{test:,} held out for the test" if test else "no test set"
        self._print(
            f"[bold]{profile.images:,}[/bold] images, [bold]{len(profile.classes):,}[/bold] classes: "
            f"{profile.split.pool:,} for training and validation, {held_out}"
        )
        for warning in profile.warnings:
            self.note(warning)
        if regime.forced:
            self._print(f"regime: [bold]{wording.regime(regime.name)}[/bold], {escape(regime.reason)}")
        else:
            name = wording.regime(regime.name)
            self._print(f"rule of thumb for this size: [bold]{name}[/bold] (the search will measure whether it holds)")
        self.stage("loading the networks and decoded images")

    def progress(self, progress: messages.Progress) -> None:
        """Move the bar; a fold that ended is printed where the output is verbose."""
        self.now = progress
        if self.verbose and progress.accuracy is not None and progress.done >= progress.total:
            fold = f"fold {progress.fold} of {progress.folds}: " if progress.folds > 1 else ""
            self._print(f"[dim]{self._at()}  {fold}accuracy {wording.percent(progress.accuracy)}[/dim]")

    def trial(self, trial: Trial, best: Trial | None, left_s: float) -> None:
        """Print one line for a trial that ended."""
        label, name = wording.trial(trial.number), escape(printable(self._name(trial.candidate)))
        if trial.state == "failed":
            self._row(label, f"{name}: [red]failed[/red], {escape(printable(trial.error))}")
            return
        is_best = best is not None and best.number == trial.number
        mark = f", [green]best so far{self._why(trial, self.best)}[/green]" if is_best else ""
        self.best = best
        cut = ", stopped early" if trial.state == "pruned" else ""
        took = durations.words(trial.seconds)
        scores = f"accuracy [bold]{wording.percent(trial.accuracy)}[/bold], log-loss {trial.log_loss:.3f}"
        self._row(label, f"{name}: {scores}{cut} ({took}){mark}")

    # ---- how it is shown ---------------------------------------------------------------------------------------

    def _print(self, markup: str) -> None:
        if not self.quiet:
            self.console.print(markup, soft_wrap=not self.console.is_terminal)

    def _row(self, label: str, markup: str) -> None:
        """Print a labelled line; on a terminal, its continuation is indented."""
        if self.quiet:
            return
        if not self.console.is_terminal:
            self._print(f"{label:<9} {markup}")
            return
        row = Table.grid(padding=(0, 1))
        row.add_column(width=9, no_wrap=True, style="bold")
        row.add_column(overflow="fold")
        row.add_row(label, markup)
        self.console.print(row)

    def _at(self) -> str:
        used = self.clock.used_s if self.clock is not None else time.monotonic() - self.begun
        return f"[{durations.words(used)}] ".replace("[", r"\[")

    def _name(self, candidate: Candidate) -> str:
        """Name a candidate; where an earlier one had the same name, with the parameters that differ."""
        key = (candidate.backbone, candidate.strategy, candidate.size_px)
        before = self.earlier.get(key)
        self.earlier[key] = dict(candidate.parameters)
        name = wording.candidate(candidate)
        if before is None:
            return name
        shown = wording.shown_parameters(candidate)
        changed = {k: v for k, v in candidate.parameters.items() if before.get(k) != v and k not in shown}
        few = dict(list(changed.items())[:SHOWN_DIFFERENCES])
        return f"{name}, {wording.settings(few)}" if few else name

    def _why(self, trial: Trial, before: Trial | None) -> str:
        why = WHY_LOG_LOSS if trial.objective is None else WHY_OBJECTIVE
        return f" ({why})" if before is not None and trial.accuracy < before.accuracy else ""

    def __rich__(self) -> RenderableType:
        """Draw the view: what is done now, the best so far, and the time."""
        head = Table.grid(padding=(0, 1))
        elapsed = durations.words(time.monotonic() - self.stage_begun)
        head.add_row(self.spinner, Text(self.stage_text, overflow="ellipsis", no_wrap=True), Text(elapsed, "dim"))
        lines: list[RenderableType] = [head]
        if self.now is not None and (self.now.folds > 1 or self.now.done < self.now.total):
            lines.append(self._bar(self.now))
        if self.best is not None:
            lines.append(Text(f"  {_best(self.best)}", "dim", overflow="ellipsis", no_wrap=True))
        if (times := self._times()) is not None:
            lines.append(Text(f"  {times}", "dim", overflow="ellipsis", no_wrap=True))
        return Group(*lines)

    def _bar(self, now: messages.Progress) -> RenderableType:
        done, total = (now.fold - 1) * now.total + now.done, now.folds * now.total
        row = Table.grid(padding=(0, 1))
        row.add_row(" ", ProgressBar(total=total, completed=done, width=24), Text(_facts(now), no_wrap=True))
        return row

    def _times(self) -> str | None:
        if self.clock is None:
            return None
        used = durations.words(self.clock.used_s)
        if self.clock.asked_s is None:
            if self.end_s is None:
                return f"{used} used"
            rest = durations.words(max(0.0, self.end_s - time.monotonic()))
            return f"{used} used, about {rest} left (predicted)"
        left_s = max(0.0, self.clock.left_s)
        whole = f"{used} of {durations.words(self.clock.asked_s)} used"
        if not self.reserve_s:
            return f"{whole}, {durations.words(left_s)} left"
        search = durations.words(max(0.0, left_s - self.reserve_s))
        reserve = durations.words(min(left_s, self.reserve_s))
        return f"{whole}; left: {search} for the search, {reserve} for the final training and the test"


def _facts(now: messages.Progress) -> str:
    """Write how far a job is: fold, epoch or count, loss, accuracy."""
    parts = []
    if now.folds > 1:
        parts.append(f"fold {now.fold} of {now.folds}")
    if now.epochs:
        parts.append(f"epoch {now.epochs * now.done / max(1, now.total):.1f} of {now.epochs:.1f}")
    else:
        parts.append(f"{now.done:,} of {now.total:,}")
    if now.loss is not None and now.loss == now.loss:
        parts.append(f"loss {now.loss:.3f}")
    if now.accuracy is not None:
        parts.append(f"validation {wording.percent(now.accuracy)}")
    return ", ".join(parts)


def _best(best: Trial) -> str:
    name = printable(wording.candidate(best.candidate))
    score = f"log-loss {best.log_loss:.3f}, accuracy {wording.percent(best.accuracy)}"
    return f"best so far by log-loss: {name}: {score}"
