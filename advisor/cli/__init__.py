"""The command line: one small file per command, imported only when it is called, so that --help stays instant.

`tl-advise DATASET` is short for `tl-advise advise DATASET`. Errors end here, with the words
and exit codes of `_failures`.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

import click

from advisor._version import __version__
from advisor.cli import _failures
from advisor.cli._stopping import stopped_by_signals
from advisor.errors import AdviseError, InputError
from advisor.runtime.process import collector, standard_streams

COMMANDS = {
    "advise": "Train an image classifier from a folder of images, and say how good it is.",
    "inspect": "Check a data set: sizes, classes, duplicates, leaks, broken files.",
    "show": "Print the result of a run again.",
    "open": "Open the report of a run in the browser.",
    "runs": "List finished runs and compare two of them on the same images.",
    "resume": "Resume a run that was stopped or killed.",
    "predict": "Classify images with the model of a run.",
    "serve": "Serve the model of a run over HTTP, with a page to try it on.",
    "evaluate": "Score the model of a run on other labelled images.",
    "label-next": "Rank unlabelled images by how much labelling them would help.",
    "export": "Export the model of a run for other programs.",
    "distill": "Train a smaller network with the help of the model of a run.",
    "rerun": "Retrain a recipe and verify its score, or apply it to other data.",
    "compare": "Train several strategies side by side, and show how pretraining helps.",
    "fewshot": "Few-shot: a handful of images per class, over many episodes.",
    "lr-find": "Find a learning rate with a range test.",
    "weights": "List and download pretrained weights.",
    "plugins": "List backbones, strategies and layouts, and check that a plugin meets its contract.",
    "cache": "Show and clear cached pixels and features.",
    "doctor": "Check this machine: versions, devices, weights, disk, plugins.",
    "demo": "Run the whole job on sample images, without a download.",
}
INTERRUPTED = 130
SIMILAR = 0.7  # ratio of difflib above which a word is taken for a mistyped command


class LazyCommands(click.Group):
    """Commands are imported when they are called; an unknown first word that is a path means `advise`."""

    def list_commands(self, context: click.Context) -> list[str]:
        """List the commands in the order of a first acquaintance."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import the file of a command."""
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"advisor.cli.{name.replace('-', '_')}").command
        return command

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Read `tl-advise DATASET ...` as `tl-advise advise DATASET ...`. Raises InputError for a mistyped command."""
        if not args:
            args = ["--help"]
        if args[0] not in COMMANDS and args[0] not in ("--help", "-h", "--version"):
            _raise_if_mistyped(args[0])
            args = ["advise", *args]
        return super().parse_args(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing one of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _raise_if_mistyped(word: str) -> None:
    """Raise InputError where a first word is neither an option nor a path, but looks like a command."""
    if word.startswith("-") or os.path.lexists(word):
        return
    similar = difflib.get_close_matches(word.lower(), COMMANDS, n=1, cutoff=SIMILAR)
    if similar:
        raise InputError(f"{word}: no such command, folder or file.", hint=f"Did you mean `tl-advise {similar[0]}`?")
    if os.sep not in word and "." not in word:
        raise InputError(f"{word}: no such command, folder or file.", hint="`tl-advise --help` lists the commands.")


@click.group(
    cls=LazyCommands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`tl-advise COMMAND --help` shows options and examples. Terms are explained at the end of every report.",
)
@click.version_option(__version__, prog_name="tl-advise")
def group() -> None:
    """From a folder of images to a good classifier: what to train, a model, a recipe, and an honest test score.

    \b
      tl-advise ./photos                    train within 15 minutes
      tl-advise ./photos --budget 3m        ... within 3
      tl-advise inspect ./photos            check the data first
      tl-advise predict RUN new-images/     classify images with the model
    """


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with its code (docs/design.md, 3.1)."""
    collector.collect_rarely()
    standard_streams.prepare()
    try:
        with stopped_by_signals():
            code = run(args)
    except KeyboardInterrupt:  # a second one, which came while the first was reported
        code = INTERRUPTED
    collector.skip_last()
    sys.exit(code)


def run(args: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    try:
        _raise_if_empty(sys.argv[1:] if args is None else args)
        code = group.main(args=args, prog_name="tl-advise", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except AdviseError as error:
        return _failures.fail(error)
    except (click.exceptions.Abort, KeyboardInterrupt) as error:
        if isinstance(error.__cause__, EOFError):  # a file that ends too early: click takes it for standard input's end
            return _failures.fail_of_bug(error.__cause__)
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    except click.ClickException as error:
        return _failures.fail_of_usage(error)
    except BrokenPipeError:
        return _failures.end_without_reader()
    except SystemExit as ending:
        if ending.code != 1:
            raise
        return _failures.end_without_reader()  # click and rich end with 1 there, a command never does
    except Exception as error:
        if _failures.is_shortage(error):
            return _failures.fail_of_shortage(error)
        return _failures.fail_of_system(error) if isinstance(error, OSError) else _failures.fail_of_bug(error)


def _raise_if_empty(args: Sequence[str]) -> None:
    """Raise InputError for an empty argument: `--out "$RUN"` without RUN would otherwise mean the current folder."""
    if "" in args:
        before = args[args.index("") - 1] if args.index("") else ""
        raise InputError(
            f"an argument is empty{f' (after {before})' if before else ''}.", hint="Is a variable of a script not set?"
        )
