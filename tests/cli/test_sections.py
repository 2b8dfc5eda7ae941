"""Help of the main command: every option stands below a title, and no title names an option that is not there."""

from __future__ import annotations

from advisor.cli import advise


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
