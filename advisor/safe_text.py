"""Names as they can be shown: any string -> one line without control, bidirectional or undecodable characters.

Names come from folders, plugins and files that other people made; an escape sequence in one would otherwise reach the
terminal, and a bidirectional mark would reorder the line around it. Everything that is written for a person goes through
`printable`; JSON escapes such characters by itself. Does NOT cover: HTML and Markdown, which escape their own
signs on top (`reporting`).
"""

from __future__ import annotations

LONGEST = 160  # characters of a name in a table or a sentence; paths in commands are never shortened
_JOINERS = "\u200c\u200d"  # zero-width joiners are part of words in some scripts, and of emoji
_FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
)  # what a spreadsheet reads as the start of a formula (OWASP, CSV injection)


def printable(text: str) -> str:
    """Return `text` with every character that is not visible written as an escape (`\\x1b`, `\\u202e`, `\\n`)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else _escape(c) for c in text)


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return `text` printable and at most `longest` characters long; what is cut from its middle becomes an ellipsis."""
    text = printable(text)
    if len(text) <= longest:
        return text
    tail = longest // 3
    return f"{text[: longest - tail - 1]}…{text[-tail:]}"


def spreadsheet_cell(text: str) -> str:
    """Return `text` so that a spreadsheet shows it and never computes it: a formula is preceded by an apostrophe.

    Control and bidirectional characters become escapes; bytes that are not UTF-8 stay as they are, for `surrogateescape`.
    """
    shown = "".join(c if c.isprintable() or c in _JOINERS or _is_byte(c) else _escape(c) for c in text)
    return f"'{shown}" if text.startswith(_FORMULA) else shown


def _escape(character: str) -> str:
    """Write a character as Python does; a byte that is not UTF-8 (a surrogate escape) by its value."""
    if _is_byte(character):
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _is_byte(character: str) -> bool:
    return "\udc80" <= character <= "\udcff"
