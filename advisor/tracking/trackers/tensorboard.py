"""TensorBoard: event files in `tensorboard/` of the run directory, one sub-folder per trial and one for the run.

Written with the classes of the package `tensorboard` itself, which needs neither torch nor TensorFlow for it. Nothing is
sent anywhere. Show it with `tensorboard --logdir RUN/tensorboard`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.records import Trial
from advisor.reporting import wording
from advisor.tracking import values
from advisor.tracking.tracker import LoggedOutcome, TrackedRun

PACKAGE = "tensorboard"
FOLDER = "tensorboard"


def start(run: TrackedRun, identity: str) -> TensorBoardLog:
    """Open the event files of a run; a resumed run adds files beside the earlier ones."""
    return TensorBoardLog(run)


class TensorBoardLog:
    """Event files of one run."""

    identity = ""

    def __init__(self, run: TrackedRun) -> None:
        self._folder = run.folder / FOLDER
        self.address = f"tensorboard --logdir {wording.quoted(str(self._folder))}"
        self._run = _EventFile(self._folder / "run")
        self._run.text("options", _table(run.options))

    def data(self, facts: Mapping[str, Any]) -> None:
        """Write the facts of the data set as a table."""
        self._run.text("data", _table(facts))

    def trial(self, trial: Trial) -> None:
        """Write a trial's parameters for the tab HPARAMS, its curve and its scores."""
        events = _EventFile(self._folder / wording.trial(trial.number).replace(" ", "_"))
        events.parameters(values.parameters(trial), trial.started_s)
        for step, point in values.curve(trial):
            events.scalars(point, step)
        scores = values.trial_scores(trial)
        events.scalars({f"scores/{name}": value for name, value in scores.items()}, trial.steps)
        events.close()
        if trial.number >= 0:
            self._run.scalars({f"trials/{name}": value for name, value in scores.items()}, trial.number)

    def end(self, outcome: LoggedOutcome) -> None:
        """Write scores with their intervals, the verdict and the names of the files."""
        self._run.scalars({f"result/{name}": value for name, value in outcome.scores.items()}, 0)
        self._run.text("verdict", outcome.verdict or outcome.state)
        self._run.text("files", "\n".join(f"- {path.name}" for path in outcome.files) or "none")
        self._run.close()


class _EventFile:
    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(folder))

    def scalars(self, scalars: Mapping[str, float], step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        for name, value in scalars.items():
            self._add(Summary(value=[Summary.Value(tag=name, simple_value=value)]), step)

    def text(self, name: str, markdown: str) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.plugins.text import metadata

        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype="DT_STRING", string_val=[markdown.encode()], tensor_shape=shape)
        described = metadata.create_summary_metadata(name, "")
        self._add(Summary(value=[Summary.Value(tag=name, metadata=described, tensor=tensor)]), 0)

    def parameters(self, parameters: Mapping[str, Any], begun_s: float) -> None:
        from tensorboard.plugins.hparams import summary_v2

        self._add(summary_v2.hparams_pb(dict(parameters), start_time_secs=begun_s), 0)

    def close(self) -> None:
        self._writer.close()

    def _add(self, summary: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(summary=summary, step=step, wall_time=time.time()))


def _table(facts: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {str(value).replace('|', '&#124;')} |" for name, value in facts.items()]
    return "\n".join(["| name | value |", "|---|---|", *rows])
