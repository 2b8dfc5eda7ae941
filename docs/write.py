"""Write generated parts into README.md: `python docs/write.py` (a test checks that nothing is left to write)."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def parts() -> dict[str, str]:
    """Return each marked part its text."""
    plugin = (ROOT / "tests" / "plugin_sample" / "tiny_backbone.py").read_text(encoding="utf-8")
    output = (ROOT / "docs" / "output.txt").read_text(encoding="utf-8")
    numbers = (ROOT / "docs" / "numbers.md").read_text(encoding="utf-8")
    return {
        "plugin": f"```python\n{plugin.rstrip()}\n```",
        "output": f"```console\n{output.rstrip()}\n```",
        "numbers": numbers.rstrip(),
    }


def written(text: str) -> str:
    """Put every part between its markers."""
    for name, part in parts().items():
        pattern = rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)"
        text = re.sub(pattern, lambda m, part=part: f"{m[1]}{part}\n{m[2]}", text, flags=re.S)  # type: ignore[misc]
    return text


README = ROOT / "README.md"
README_IS_CURRENT = written(README.read_text(encoding="utf-8")) == README.read_text(encoding="utf-8")

if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
