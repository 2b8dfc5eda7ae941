"""Help of the commands: the main one's options stand below titles, and what is printed of every command is complete."""

from __future__ import annotations

import click
import pytest

from advisor.cli import COMMANDS, advise, group


def test_every_option_of_the_main_command_has_a_section() -> None:
    """An option that was added without a section would be listed last, where nobody looks for it."""
    named = [name for names in advise.SECTIONS.values() for name in names]
    options = {param.name for param in advise.command.params if param.name != "dataset"}
    assert sorted(named) == sorted(options)


def test_help_lists_titles_in_order_and_each_option_once() -> None:
    """The sections come in the order of the table, each with its options."""
    with advise.command.make_context("advise", [], resilient_parsing=True) as context:
        text = advise.command.get_help(context)
    places = [text.index(f"{title}:") for title in advise.SECTIONS]
    assert places == sorted(places)
    for flag in ("--budget TIME", "--max-ms X", "--ray ADDRESS", "--layout NAME"):
        assert text.count(flag) == 1
    assert "DATASET" not in text.partition("Other options:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_takes_and_what_it_does(name: str) -> None:
    """No option stands without a text, or with the name of a type (TEXT, INTEGER RANGE) in place of its value's."""
    with click.Context(group) as context:
        command = group.get_command(context, name)
        assert command is not None
        subcommands = list(command.commands.values()) if isinstance(command, click.Group) else []
        options = [p for c in (command, *subcommands) for p in c.params if isinstance(p, click.Option)]
        for option in options:
            assert option.help, option.name
            assert option.is_flag or option.metavar or isinstance(option.type, click.Choice), option.name


@pytest.mark.parametrize("name", ["cache", "plugins", "weights"])
def test_the_list_of_subcommands_cuts_no_sentence_off(name: str) -> None:
    """The first sentence of each fits into its line."""
    with click.Context(group) as context:
        command = group.get_command(context, name)
        assert command is not None
        with command.make_context(name, [], parent=context, resilient_parsing=True) as inner:
            assert "..." not in command.get_help(inner).partition("Commands:")[2]
