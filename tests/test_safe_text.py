"""Names as they can be shown: visible, on one line, never a formula."""

from __future__ import annotations

import pytest

from advisor import safe_text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain é 漢 name", "plain é 漢 name"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("caf\udce9", "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ("می\u200cشود", "می\u200cشود"),
    ],
)
def test_what_is_not_visible_is_written_as_an_escape(name: str, shown: str) -> None:
    """Control and bidirectional characters, line breaks and stray bytes become escapes; letters of any script stay."""
    assert safe_text.printable(name) == shown
    shown.encode("utf-8")


def test_a_long_name_keeps_its_ends() -> None:
    """300 letters become the asked length, with an ellipsis where the middle was."""
    text = safe_text.shortened("a" * 200 + "z" * 100, 30)
    assert len(text) == 30
    assert text.startswith("aaa")
    assert text.endswith("zzz")
    assert "…" in text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_formula_is_text_in_a_spreadsheet(start: str) -> None:
    """A cell that a spreadsheet would compute is preceded by an apostrophe (OWASP, CSV injection)."""
    assert safe_text.spreadsheet_cell(f"{start}cmd|' /C calc'!A0").startswith("'")
    assert safe_text.spreadsheet_cell("cat") == "cat"
