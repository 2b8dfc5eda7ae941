"""The command line: one small file a command; each is imported only when it is called, so that --help stays instant.

`tl-advise DATASET` is short for `tl-advise advise DATASET`. Errors end here: one line on standard error (what, where,
what to do) and the error's exit code; anything else that escapes is a bug and shows its traceback.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback

import click

from advisor._version import __version__
from advisor.errors import AdviseError

COMMANDS = {
    "advise": "From a folder of images to advice, a model, a recipe and an honest score.",
    "inspect": "Look at a data set: sizes, classes, duplicates, leaks, broken files.",
    "resume": "Go on with a run that was stopped or killed.",
    "rerun": "Train a recipe again and compare, or apply it to other data.",
    "predict": "Classify images with a run's model.",
    "serve": "Serve a run's model over HTTP, with a page to try it on.",
    "export": "Write a run's model for other programs, checked against predict.",
    "compare": "Train several ways side by side and show what transfer does.",
    "fewshot": "Score few-shot heads on frozen features over many episodes.",
    "lr-find": "Find a learning rate: a range test that leaves nothing behind.",
    "plugins": "List backbones and strategies, and check one.",
    "weights": "Say which pretrained weights are here, and fetch them.",
    "cache": "List and clear cached pixels and features.",
    "doctor": "Check this machine: versions, devices, weights, disk, plugins.",
    "demo": "Run the main job on sample images that need no download.",
}


class LazyCommands(click.Group):
    """Commands are imported when they are called; an unknown first word that is a path means `advise`."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Name the commands in the order of a first acquaintance."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import the file of a command."""
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"advisor.cli.{name.replace('-', '_')}").command
        return command

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Read `tl-advise DATASET ...` as `tl-advise advise DATASET ...`."""
        known = args and (args[0] in COMMANDS or args[0] in ("--help", "-h", "--version"))
        if args and not known:
            args = ["advise", *args]
        return super().parse_args(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing one of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyCommands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`tl-advise COMMAND --help` shows options and examples.",
)
@click.version_option(__version__, prog_name="tl-advise")
def group() -> None:
    """From a folder of images to a good classifier: how to transfer, a model, a recipe, and a score that is true.

    \b
      tl-advise ./photos                    advice within 15 minutes
      tl-advise ./photos --budget 3m        ... within 3
      tl-advise inspect ./photos            look first
      tl-advise predict RUN new-images/     use the model
    """


def fail(error: AdviseError) -> int:
    """Print an error in one line on standard error; give its exit code."""
    text = " ".join(str(error).split())
    print(f"error: {text.encode('utf-8', 'backslashreplace').decode('utf-8')}", file=sys.stderr)
    return error.exit_code


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with its code (docs/design.md 3.1)."""
    sys.exit(run(args))


def run(args: list[str] | None = None) -> int:
    """Run the command line; give the exit code."""
    try:
        code = group.main(args=args, prog_name="tl-advise", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except AdviseError as error:
        return fail(error)
    except click.exceptions.Abort:
        print("stopped", file=sys.stderr)
        return 130
    except click.ClickException as error:
        error.show(file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except (OSError, MemoryError) as error:
        if isinstance(error, BrokenPipeError):
            # The reader of our standard output went away (`| head`); nothing is wrong here.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return fail(AdviseError(f"{type(error).__name__}: {error}.", hint="Is the disk full, or memory short?"))
    except Exception as error:
        traceback.print_exc()
        return fail(
            AdviseError(f"{type(error).__name__}: {error}.", hint="This is a bug: please report the lines above.")
        )
