"""Write generated parts into README.md and docs/start.md, and docs/glossary.md: `python docs/write.py`.

A test checks that none is out of date.
"""

from __future__ import annotations

import re
from pathlib import Path

from advisor.reporting import glossary

ROOT = Path(__file__).parents[1]


def parts() -> dict[str, str]:
    """Return each marked part its text."""
    output = (ROOT / "docs" / "output.txt").read_text(encoding="utf-8").rstrip()
    numbers = (ROOT / "docs" / "numbers.md").read_text(encoding="utf-8")
    return {
        "beginning": f"```console\n{output.partition(chr(10) + 'why ')[0].rstrip()}\n```",
        "output": f"```console\n{output}\n```",
        "numbers": numbers.rstrip().replace("{arena}", arena()),
    }


def arena() -> str:
    """Return the short table of the arena, as its page has it."""
    page = (ROOT / "docs" / "arena.md").read_text(encoding="utf-8")
    return page.partition("<!-- summary:begin -->\n")[2].partition("<!-- summary:end -->")[0].strip()


def written(text: str) -> str:
    """Replace every part between its markers."""
    for name, part in parts().items():
        pattern = rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)"
        text = re.sub(pattern, lambda m, part=part: f"{m[1]}{part}\n{m[2]}", text, flags=re.S)  # type: ignore[misc]
    return text


PAGES = (ROOT / "README.md", ROOT / "docs" / "start.md")
ARE_CURRENT = all(written(page.read_text(encoding="utf-8")) == page.read_text(encoding="utf-8") for page in PAGES)

if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
    (ROOT / "docs" / "glossary.md").write_text(glossary.as_markdown(), encoding="utf-8")
