"""What a person sees while a run works, on standard error: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from advisor.records import Profile, Regime, Trial, messages
from advisor.records.trials import REGIME_WORDS
from advisor.runtime import durations
from advisor.runtime.progress import Listener


class Screen(Listener):
    """Shows stages, progress with loss and accuracy, every trial's end, and the time left. A context manager."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.quiet = quiet
        self.live = self.console.is_terminal and not quiet
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )
        self.task = self.bar.add_task("starting", total=None, facts="") if self.live else None

    def __enter__(self) -> Screen:
        if self.live:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.bar.stop()

    def _say(self, text: str) -> None:
        if not self.quiet:
            self.console.print(text)

    def stage(self, text: str) -> None:
        """Name what begins: on the live line, or as a line of its own."""
        if self.task is not None:
            self.bar.reset(self.task, total=None, description=escape(text), facts="")
        else:
            self._say(f"[dim]{escape(text)}[/dim]")

    def note(self, text: str) -> None:
        """Print a warning, also where it is quiet."""
        self.console.print(f"[yellow]note:[/yellow] {escape(text)}")

    def profile(self, profile: Profile, regime_: Regime) -> None:
        """Say what was found, and the prior."""
        test = profile.split.test
        self._say(
            f"[bold]{profile.images:,}[/bold] images, [bold]{len(profile.classes)}[/bold] classes, "
            f"{profile.split.pool:,} for training and validation, {test:,} locked for the test"
        )
        for warning in profile.warnings:
            self.note(warning)
        self._say(f"size rule: [bold]{REGIME_WORDS[regime_.name]}[/bold] - {escape(regime_.reason)}")

    def progress(self, progress: messages.Progress) -> None:
        """Move the bar."""
        if self.task is None:
            return
        facts = []
        if progress.loss is not None and progress.loss == progress.loss:
            facts.append(f"loss {progress.loss:.3f}")
        if progress.accuracy is not None:
            facts.append(f"accuracy {progress.accuracy:.3f}")
        self.bar.update(self.task, completed=progress.done, total=progress.total, facts="  ".join(facts))

    def trial(self, trial: Trial, best: Trial | None, left_s: float) -> None:
        """Print one line for a trial that ended."""
        c = trial.candidate
        name = "probe  " if trial.number < 0 else f"trial {trial.number:<2}"
        where = f"{c.strategy} on {c.backbone} at {c.size_px} px"
        left = "" if left_s == float("inf") else f", {durations.words(max(0.0, left_s))} left"
        if trial.state == "failed":
            self._say(f"{name} {escape(where)}: [red]failed[/red], {escape(trial.error)}{left}")
            return
        better = best is None or trial.log_loss < best.log_loss
        mark = " [green]best so far[/green]" if trial.state == "complete" and better else ""
        cut = " (stopped early)" if trial.state == "pruned" else ""
        self._say(
            f"{name} {escape(where)}: accuracy [bold]{trial.accuracy:.3f}[/bold], log-loss {trial.log_loss:.3f}"
            f"{cut}, {durations.words(trial.seconds)}{left}{mark}"
        )


def is_a_terminal() -> bool:
    """Whether standard error is a terminal."""
    return sys.stderr.isatty()
