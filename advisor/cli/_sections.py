"""Help of a command with many options, in sections that follow what a person wants to do.

In: sections (title -> names of parameters). Out: help text. Does NOT cover: what the options mean (`_options`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

OTHER = "Other options"


class SectionedCommand(click.Command):
    """A command whose `--help` lists options below the titles of `sections`; what no section names comes last."""

    def __init__(self, *args: Any, sections: Mapping[str, tuple[str, ...]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options section by section, in the order in which the sections name them."""
        records = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                records[param.name] = record
        for title, names in self.sections.items():
            rows = [records.pop(name) for name in names if name in records]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        if records:
            with formatter.section(OTHER):
                formatter.write_dl(list(records.values()))
