"""Generate the page of all commands from their own `--help` when the documentation is built."""

from __future__ import annotations

from typing import Any

from click import Context
from mkdocs.structure.files import File, Files

from advisor.cli import COMMANDS, group


def on_files(files: Files, config: Any) -> Files:
    """Add `commands.md` to the files of the site."""
    files.append(File.generated(config, "commands.md", content=commands()))
    return files


def commands() -> str:
    """Return the page: summary and help of every command."""
    page = ["# Commands", "", "What `tl-advise COMMAND --help` prints.", ""]
    for name, summary in COMMANDS.items():
        command = group.get_command(Context(group), name)
        assert command is not None
        context = Context(command, info_name=f"tl-advise {name}", terminal_width=100, max_content_width=100)
        page += [f"## {name}", "", summary, "", "```text", command.get_help(context).rstrip(), "```", ""]
    return "\n".join(page)
