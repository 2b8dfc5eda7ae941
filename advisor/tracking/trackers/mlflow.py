"""MLflow: one run with its options, scores, verdict and files, and a nested run per trial with parameters and curve.

Goes where MLFLOW_TRACKING_URI points (by default to a local database), into the experiment MLFLOW_EXPERIMENT_NAME or
"tl-advise". Uses MLflow's client rather than its fluent interface, which would add user, source file and git commit; MLflow's
own usage statistics are switched off.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from advisor.data.remote import urls
from advisor.records import Trial
from advisor.reporting import wording
from advisor.tracking import values
from advisor.tracking.tracker import LoggedOutcome, TrackedRun

PACKAGE = "mlflow"
EXPERIMENT = "tl-advise"
_LONGEST = 250  # characters of a parameter's value in every store
_BATCH = 1000  # metrics in one request, at most
_STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


def start(run: TrackedRun, identity: str) -> MlflowLog:
    """Create a run, or continue the one with this identity. Raises what MLflow raises."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    import mlflow

    return MlflowLog(mlflow.MlflowClient(), run, identity)


class MlflowLog:
    """A run in MLflow."""

    def __init__(self, client: Any, run: TrackedRun, identity: str) -> None:
        self._client = client
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = client.get_experiment_by_name(name)
        self._experiment = client.create_experiment(name) if experiment is None else experiment.experiment_id
        self._trials: dict[int, str] = {}
        if identity:
            client.update_run(identity, status="RUNNING")
            self.identity = identity
        else:
            self.identity = client.create_run(self._experiment, run_name=run.name).info.run_id
            self._parameters(self.identity, run.options)
        self.address = f"run {self.identity} in {urls.public(client.tracking_uri)}"

    def data(self, facts: Mapping[str, Any]) -> None:
        """Log the facts of the data set as parameters of the run."""
        logged = self._client.get_run(self.identity).data.params
        self._parameters(self.identity, {f"data.{n}": v for n, v in facts.items() if f"data.{n}" not in logged})

    def trial(self, trial: Trial) -> None:
        """Log a trial as a nested run; one that is scored again adds to its metrics."""
        run_id = self._trials.get(trial.number)
        if run_id is None:
            tags = {"mlflow.parentRunId": self.identity}
            name = wording.trial(trial.number)
            run_id = self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id
            self._trials[trial.number] = run_id
            self._parameters(run_id, values.parameters(trial))
            self._metrics(run_id, values.curve(trial))
        self._metrics(run_id, [(trial.steps, values.trial_scores(trial))])
        self._client.set_terminated(run_id, "FAILED" if trial.state == "failed" else "FINISHED")

    def end(self, outcome: LoggedOutcome) -> None:
        """Log scores with their intervals, the verdict as the run's description, and the files as artefacts."""
        self._metrics(self.identity, [(0, outcome.scores)])
        if outcome.verdict:
            self._client.set_tag(self.identity, "mlflow.note.content", outcome.verdict)
        for path in outcome.files:
            self._client.log_artifact(self.identity, str(path))
        self._client.set_terminated(self.identity, _STATES[outcome.state])

    def _parameters(self, run_id: str, parameters: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        self._client.log_batch(run_id, params=[Param(n, str(v)[:_LONGEST]) for n, v in parameters.items()])

    def _metrics(self, run_id: str, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        metrics = [Metric(name, value, now_ms, step) for step, point in points for name, value in point.items()]
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
