"""Options that several commands share (docs/design.md, 3.1), spelled once: the same meaning has the same name everywhere."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from advisor.cli._device_option import device as device
from advisor.cli._plugin_option import blocked as blocked
from advisor.errors import InputError

if TYPE_CHECKING:
    from advisor.records.data import ReadOptions

_LINKED = "advisor.weights"  # where a context keeps the folders of links
Option = Callable[[Any], Any]  # a decorator that adds options to a command


def training() -> Option:
    """Add the options of the main job: budget, search, machine, output."""
    return _all([*_work(), *_search(), *_parallel(), *_machine(), threads()])


def _work() -> list[Option]:
    return [
        click.option(
            "--budget", metavar="TIME", help="Hard limit for everything, start-up included: 90s, 10m, 1h. [15m]"
        ),
        click.option(
            "--trials",
            type=click.IntRange(min=1),
            metavar="N",
            help="Number of trials (reproducible, unlike --budget).",
        ),
        out("Run directory. [./tl-advise-runs/NAME-TIME]"),
        seed(),
    ]


def _search() -> list[Option]:
    return [
        size(),
        click.option("--backbone", "backbones", multiple=True, metavar="NAME", help="Only this backbone (repeatable)."),
        click.option(
            "--strategy", "strategies", multiple=True, metavar="NAME", help="Only this strategy (repeatable)."
        ),
        click.option(
            "--objective",
            default="log_loss",
            show_default=True,
            metavar="NAME",
            help="The score that decides: log_loss, accuracy, balanced_accuracy, macro_f1, auroc, or cost:FILE "
            "(a CSV matrix of costs by class names).",
        ),
        click.option(
            "--regime",
            metavar="NAME",
            help="How much of the network to train, instead of letting the search decide: "
            "feature_extraction, partial or full.",
        ),
    ]


def _parallel() -> list[Option]:
    return [
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            metavar="N",
            help="Trials that run at the same time; above 1, the same seed may not give the same trials. "
            "[1, or one per visible GPU]",
        ),
        click.option(
            "--storage",
            metavar="URL",
            help='Keep the study in a shared database (documentation: "Many workers, many machines"). [TL_ADVISE_STORAGE]',
        ),
        click.option("--study", metavar="NAME", help="Name of the study in that database. [name of the run]"),
        click.option("--ray", metavar="ADDRESS", help="Run trials on a Ray cluster: auto, local or HOST:PORT."),
        click.option(
            "--data-on-nodes", metavar="PATH", help="With --ray: the data set on every node. [pixels are sent]"
        ),
    ]


def _machine() -> list[Option]:
    return [device(), weights(), weights_dir(), offline(), *_answers()]


def _answers() -> list[Option]:
    return [quiet(), as_json()]


def out(text: str) -> Option:
    """Return `--out DIR`, with what it holds."""
    return click.option("-o", "--out", type=click.Path(), metavar="DIR", help=text)


def seed() -> Option:
    """Return `--seed N`."""
    return click.option(
        "--seed",
        type=click.IntRange(0, 2**63 - 1),
        default=0,
        show_default=True,
        metavar="N",
        help="Seed of all random numbers.",
    )


def size() -> Option:
    """Return `--size PX`."""
    return click.option(
        "--size",
        "size_px",
        type=click.IntRange(min=16, max=2048),
        metavar="PX",
        help="Input size of the network in pixels. [chosen from the images]",
    )


def threads() -> Option:
    """Return `--threads N`."""
    return click.option("--threads", type=click.IntRange(1, 1024), metavar="N", help="CPU threads. [all cores]")


def weights_dir() -> Option:
    """Return `--weights-dir DIR`."""
    return click.option(
        "--weights-dir",
        type=click.Path(),
        metavar="DIR",
        callback=_with_links,
        help="Folder to search for pretrained weights first.",
    )


def weights() -> Option:
    """Return `--weights NAME=FILE`, which puts folders of links before `--weights-dir`."""
    return click.option(
        "--weights",
        multiple=True,
        metavar="NAME=FILE",
        is_eager=True,
        expose_value=False,
        callback=_link,
        help="File to use as the weights of a backbone (repeatable).",
    )


def _link(context: click.Context, _: click.Parameter, pairs: tuple[str, ...]) -> None:
    if not pairs or context.resilient_parsing:
        return
    from advisor import registry
    from advisor.models import weight_sources

    plugins = registry.load()
    folders = []
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not equals:
            raise InputError(f"--weights {pair}: no file is named.", hint="Write --weights NAME=FILE.")
        folders.append(str(weight_sources.link(plugins.backbone(name), file)))
    context.meta[_LINKED] = folders


def _with_links(context: click.Context, _: click.Parameter, folder: str | None) -> str | None:
    folders = [*context.meta.get(_LINKED, ()), *([folder] if folder else ())]
    return os.pathsep.join(folders) or None


def offline() -> Option:
    """Return `--offline`."""
    return click.option("--offline", is_flag=True, help="Do not use the internet.")


def quiet() -> Option:
    """Return `-q`, `--quiet`."""
    return click.option("-q", "--quiet", is_flag=True, help="Print warnings and the result, but no progress.")


def verbose() -> Option:
    """Return `-v`, `--verbose`."""
    return click.option("-v", "--verbose", is_flag=True, help="Also print every stage and fold, with the time.")


def as_json(text: str = "Print the result as JSON on standard output.") -> Option:
    """Return `--json`."""
    return click.option("--json", "as_json", is_flag=True, help=text)


def devices(default: int | None, text: str) -> Option:
    """Return `--gpus K`, which is also called `--devices`."""
    return click.option(
        "--gpus",
        "--devices",
        "devices",
        type=click.IntRange(min=1),
        default=default,
        show_default=default is not None,
        metavar="K",
        help=text,
    )


def target(text: str) -> Option:
    """Return `--target DIR`, which is also called `--unlabelled`."""
    return click.option("--target", "--unlabelled", "target", metavar="DIR", help=text)


def test_split() -> Option:
    """Return `--test-split auto|none`."""
    return click.option(
        "--test-split",
        type=click.Choice(["auto", "none"]),
        default="auto",
        show_default=True,
        help="Hold out a test set if none is given, or do without one.",
    )


def reading(default: str = "") -> Option:
    """Add the options that say how a data set is to be read; `read_options` turns them into a record.

    `default` says what holds without them, where that is not the default of a first reading.
    """
    columns = [
        click.option(f"--{role}-column", metavar="NAME", help=f"Column of the {role} in a table of images.")
        for role in ("path", "label", "group", "split")
    ]
    return _all(
        [
            click.option(
                "--val",
                type=click.Choice(["holdout", "pool"]),
                help="A given validation set beside a given test set: validate on it, or add it to the training images. "
                f"[{default or 'holdout'}]",
            ),
            click.option("--layout", metavar="NAME", help='Read as this layout (documentation: "Your data").'),
            click.option("--exclude", multiple=True, metavar="NAME", help="Leave out this folder (repeatable)."),
            click.option("--root", type=click.Path(), metavar="DIR", help="Folder that a table's paths start from."),
            *columns,
            click.option("--label-from", metavar="REGEX", help="Read the label from file paths, by the first group."),
            click.option(
                "--max-pixels",
                type=click.IntRange(min=1),
                metavar="N",
                help=f"Largest image that is decoded. [{default or '178,956,970'}]",
            ),
        ]
    )


def read_options(call: dict[str, Any], recorded: ReadOptions | None = None) -> ReadOptions:
    """Return the options of `reading` from a call; those that are not given are the `recorded` ones."""
    from advisor.records.data import ReadOptions

    names = [field.name for field in dataclasses.fields(ReadOptions)]
    values = {name: call.pop(name) for name in names}
    return dataclasses.replace(recorded or ReadOptions(), **{name: value for name, value in values.items() if value})


def relabel() -> Option:
    """Return `--relabel FILE`."""
    text = 'Table of corrected labels (path,label), for example an edited suspects.csv (documentation: "What the data show").'
    return click.option("--relabel", type=click.Path(), metavar="FILE", help=text)


def single() -> Option:
    """Add the options of commands that open a data set for one backbone."""
    backbone = click.option(
        "--backbone", metavar="NAME", help="Network. [the most accurate network with weights available locally]"
    )
    return _all([backbone, size(), seed(), threads(), reading(), blocked(), *_machine()])


def machine() -> Option:
    """Add the options that say where a command runs and how it prints its result."""
    return _all(_machine())


def _all(options: list[Option]) -> Option:
    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
