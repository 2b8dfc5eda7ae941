"""Weights & Biases: one run with its options, a row and a curve per trial, scores, verdict and files.

Goes to the project WANDB_PROJECT or "tl-advise" of the account that is logged in; with `--offline` or WANDB_MODE=offline, into
`wandb/` of the run directory. What the client would add by itself (git state, code, console output, machine, statistics,
error reports) is switched off.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from advisor.records import Trial
from advisor.reporting import wording
from advisor.tracking import values
from advisor.tracking.tracker import LoggedOutcome, TrackedRun

PACKAGE = "wandb"
PROJECT = "tl-advise"
_COLUMNS = ("trial", "state", "backbone", "strategy", "parameters", "accuracy", "log_loss", "seconds")


def start(run: TrackedRun, identity: str) -> WandbLog:
    """Start a run, or continue the one with this identity. Raises what wandb raises, where nobody is logged in too."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    settings = wandb.Settings(
        mode="offline" if run.offline else None,
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        disable_job_creation=True,
        save_code=False,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        init_timeout=20,
    )
    online = not run.offline and os.environ.get("WANDB_MODE") not in ("offline", "disabled", "dryrun")
    if online and not wandb.login(prompt=False, verify=False):
        raise RuntimeError("nobody is logged in; run `wandb login`, or set WANDB_MODE=offline")
    opened = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=run.name,
        dir=str(run.folder),
        id=identity or None,
        resume="allow",
        config=dict(run.options),
        settings=settings,
    )
    return WandbLog(opened)


class WandbLog:
    """A run of Weights & Biases."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self.identity = str(run.id)
        self.address = run.url or f"{run.dir} (`wandb sync` uploads it)"
        self._rows: list[tuple[Any, ...]] = []
        run.define_metric("trials/*", step_metric="trial")

    def data(self, facts: Mapping[str, Any]) -> None:
        """Add the facts of the data set to the configuration."""
        self._run.config.update({f"data.{name}": value for name, value in facts.items()}, allow_val_change=True)

    def trial(self, trial: Trial) -> None:
        """Log a trial's curve over its own steps, its scores over the number of the trial, and a row of the table."""
        prefix = wording.trial(trial.number).replace(" ", "_")
        if trial.curve.step:
            self._run.define_metric(f"{prefix}/*", step_metric=f"{prefix}/step")
        for step, point in values.curve(trial):
            self._run.log({f"{prefix}/{name}": value for name, value in point.items()} | {f"{prefix}/step": step})
        scores = values.trial_scores(trial)
        self._run.log({f"trials/{name}": value for name, value in scores.items()} | {"trial": trial.number})
        candidate = trial.candidate
        numbers = [scores.get(name) for name in ("accuracy", "log_loss", "seconds")]
        parameters = wording.settings(candidate.parameters)
        self._rows.append(
            (trial.number, trial.state, candidate.backbone, candidate.strategy, parameters, *numbers),
        )

    def end(self, outcome: LoggedOutcome) -> None:
        """Log scores with their intervals as the summary, the verdict as the notes, the table, and the files."""
        import wandb

        self._run.summary.update(dict(outcome.scores))
        if outcome.verdict:
            self._run.summary["verdict"] = outcome.verdict
        self._run.log({"trials": wandb.Table(columns=list(_COLUMNS), data=[list(row) for row in self._rows])})
        if outcome.files:
            artefact = wandb.Artifact(f"tl-advise-{self._run.id}", type="model")
            for path in outcome.files:
                artefact.add_file(str(path))
            self._run.log_artifact(artefact)
        self._run.finish(exit_code=1 if outcome.state == "failed" else 0)
