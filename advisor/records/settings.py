"""What a run was asked to do: the options of `advise`, written to run.json, from which a resume goes on."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.records.data import ReadOptions
from advisor.records.plan import Compute

# How numbers are chosen on held-out images. 1: the folds inside a fit split groups, linear heads alone ship the logit
# adjustment that every head is scored with, each fold of a trial chooses its own numbers of the finish. 2: none of these.
PROCEDURE = 2
TEMPERATURES = (1e-5, 1e5)  # of a recipe or a model; a fit gives 1e-4 to 1e4, and float32 divides logits by these
TEMPERATURE_RULE = "a number from 1e-5 to 1e5"  # the same in words


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The call. `budget_s` is None where only `trials` limits the work; `command` is the line to show."""

    data: str
    command: str = ""
    budget_s: float | None = 900.0
    trials: int | None = None
    seed: int = 0
    device: str = "auto"
    workers: int = 1
    devices: int = 1
    size_px: int | None = None
    backbones: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    regime: str | None = None
    objective: str = "log_loss"  # the score that decides, as the command line names it: NAME or cost:FILE
    max_ms: float | None = None  # per image, of the exported graph on one thread of this machine
    max_mb: float | None = None  # of the exported file, 10^6 bytes
    weights_dir: str | None = None
    offline: bool = False
    test_split: str = "auto"
    reading: ReadOptions = ReadOptions()  # what the layout leaves open: columns, root, use of a validation set
    relabel: str | None = None  # a table of corrected labels
    remove_leaks: bool = False
    experience: tuple[str, ...] = ()  # folders with finished runs that the search learns from
    plugins_blocked: tuple[str, ...] = ()
    threads: int | None = None
    arithmetic: Compute | None = None  # of a recipe that is run again; None for what suits this machine
    procedure: int = PROCEDURE  # of a recipe that is run again
    revisions: tuple[tuple[str, str], ...] = ()  # (backbone, commit of its repository) of a recipe that is run again
    source: str | None = None  # labelled images of the classes that the networks were pretrained on
    target: str | None = None  # an adaptation's unlabelled images; None for the main job
    created_by: str = ""
    storage: str = ""  # the shared database's URL, never with a password; "" for a file in the run directory
    study: str = ""  # its name there
    run: str = ""  # this run's own mark there
    ray: str = ""  # the Ray cluster that trials run on: "auto", "local" or HOST:PORT; "" for processes on this machine
    ray_actors: int | None = None  # at the same time; None for as many as the cluster has devices for
    log: tuple[str, ...] = ()  # trackers that the run is logged to
    data_on_nodes: str = ""  # where the data set lies on every node; "" where its pixels are sent
