"""`tl-advise doctor`: check this machine, and say what to do where something is wrong."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from advisor.cli import _options
from advisor.errors import CheckError

if TYPE_CHECKING:
    from advisor.workflows.doctor import Finding


@click.command(name="doctor")
@_options.weights_dir()
@_options.offline()
@_options.as_json("Print the findings as JSON on standard output.")
def command(weights_dir: str | None, offline: bool, as_json: bool) -> None:
    """Check this machine: versions, devices, threads, precision, plugins, weights, cache, disk.

    The exit code is 3 if something would stop a run or make its numbers wrong.

    \b
    Examples:
      tl-advise doctor
      tl-advise doctor --offline --json
    """
    from advisor.cli import _console
    from advisor.workflows import doctor

    findings = doctor.examine(weights_dir=weights_dir, offline=offline)
    if as_json:
        _console.as_json([asdict(f) for f in findings])
    else:
        _print(findings)
    problems = [f.check for f in findings if f.state == "problem"]
    if problems:
        raise CheckError(
            f"{_console.counted(len(problems), 'problem')}: {', '.join(problems)}.",
            hint="See the arrow below each of them.",
        )


def _print(findings: tuple[Finding, ...]) -> None:
    from rich.table import Table

    from advisor.cli import _console

    colours = {"good": "green", "warning": "yellow", "problem": "bold red"}
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for finding in findings:
        colour = colours[finding.state]
        table.add_row(
            f"[{colour}]{finding.state}[/{colour}]", finding.check, _console.text(finding.found, longest=2000)
        )
        if finding.advice:
            table.add_row("", "", f"[{colour}]->[/{colour}] {_console.text(finding.advice, longest=2000)}")
    _console.console().print(table)
