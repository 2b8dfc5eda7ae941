"""`tl-advise doctor`: is this machine fit, and what to do where it is not."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from advisor.errors import CheckError


@click.command(name="doctor")
@click.option("--weights-dir", type=click.Path(), metavar="DIR", help="Look for pretrained weights here first.")
@click.option("--offline", is_flag=True, help="Never touch the network.")
@click.option("--json", "as_json", is_flag=True, help="The findings as JSON on standard output.")
def command(weights_dir: str | None, offline: bool, as_json: bool) -> None:
    """Look at this machine: versions, devices, threads, precision, plugins, weights, cache, disk.

    Ends with exit code 3 where something would stop the work or make its numbers wrong.

    \b
    Examples:
      tl-advise doctor
      tl-advise doctor --offline --json
    """
    from advisor.workflows import doctor

    findings = doctor.examine(weights_dir=weights_dir, offline=offline)
    if as_json:
        click.echo(json.dumps([asdict(f) for f in findings], indent=2))
    else:
        _tell(findings)
    problems = [f.check for f in findings if f.state == "problem"]
    if problems:
        raise CheckError(f"{len(problems)} problems: {', '.join(problems)}.", hint="What to do stands beside each.")


def _tell(findings: tuple[object, ...]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from advisor.cli import _console
    from advisor.workflows.doctor import Finding

    colours = {"good": "green", "warning": "yellow", "problem": "bold red"}
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for finding in findings:
        assert isinstance(finding, Finding)
        colour = colours[finding.state]
        table.add_row(f"[{colour}]{finding.state}[/{colour}]", finding.check, escape(finding.found))
        if finding.advice:
            table.add_row("", "", f"[{colour}]->[/{colour}] {escape(finding.advice)}")
    _console.console().print(table)
