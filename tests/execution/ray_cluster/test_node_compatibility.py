"""Nodes that are not fit for a run: named in one line, left out where others are fit, and never waited for without end."""

from __future__ import annotations

from typing import Any

import pytest
from ray_in_process import Ray

from advisor.data import dataset
from advisor.errors import InputError
from advisor.execution.ray_cluster import environment, executor

HERE = environment.describe()


class Unpacked:
    """What an executor needs of its shipping before the first job."""

    environment = HERE
    opening = ()


def start(actor: type[Any], nodes: int, notes: list[str]) -> executor.RayExecutor:
    """An executor on nodes with one CPU each."""
    slots = executor.ClusterSlots(most=None, threads=1, gpus=0.0)
    return executor.RayExecutor(Ray(nodes), Unpacked(), slots, notes.append, actor=actor)  # type: ignore[arg-type]


def refusal(trials: executor.RayExecutor) -> InputError:
    """The error that ends the run."""
    with pytest.raises(InputError) as caught:
        [trials.poll(lambda progress: None, wait_s=0.0) for _ in range(1000)]
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value


class Differs:
    """Every node has another version of a plugin."""

    number = 0

    def open(self) -> dict[str, str]:
        return {"node": f"10.0.0.{self.number}", **HERE, "plugin pocket": "tl-advise 9.9"}


class FirstDiffers(Differs):
    """The first node alone differs."""

    def open(self) -> dict[str, str]:
        return {"node": "10.0.0.9", **HERE} if self.number else super().open()


class Lacks:
    """The folder of --data-on-nodes is missing."""

    def open(self) -> None:
        dataset.read("/nowhere/photos")


class Dies:
    """The process ends while it starts."""

    def open(self) -> None:
        raise ConnectionError("The actor died unexpectedly before finishing this task.")


@pytest.mark.parametrize("nodes", [1, 3])
def test_nodes_that_all_differ_end_the_run_with_one_line(nodes: int) -> None:
    """The node, the plugin and both versions."""
    assert "node 10.0.0." in (text := refusal(start(Differs, nodes, [])).what)
    assert "plugin pocket is tl-advise 9.9 there and" in text


def test_one_node_that_differs_does_not_end_a_run_on_others() -> None:
    """It answers first; the others are used, and the user is told once which one is not."""
    notes: list[str] = []
    trials = start(FirstDiffers, 3, notes)
    for _ in range(20):
        trials.poll(lambda progress: None, wait_s=0.0)
    assert len([note for note in notes if "node 10.0.0.0: plugin pocket" in note]) == 1
    assert len(trials._slots) == 2


def test_data_that_a_node_lacks_end_the_run_with_one_line() -> None:
    """A wrong --data-on-nodes is named."""
    assert "no such folder: /nowhere/photos" in refusal(start(Lacks, 2, [])).what


def test_actors_that_die_while_they_start_end_the_run() -> None:
    """Not begun again without end: the reason, after some attempts."""
    assert "no actor could be started (The actor died unexpectedly" in refusal(start(Dies, 2, [])).what
