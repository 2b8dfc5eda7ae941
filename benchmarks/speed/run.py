"""How fast it is: `python benchmarks/speed/run.py steps|passes|large_photos|scaling|allocator`.

Each part adds rows to benchmarks/results/speed.json as they come, goes on where it was stopped, and writes its table
into docs/speed.md. `report` writes all tables again. Options after the name of a part: `PART --help`.
Does NOT cover: what the advice is worth (benchmarks/advice), heads (benchmarks/heads), other tools (benchmarks/arena).
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "advice"))  # ledger, anytime
sys.path.insert(0, str(Path(__file__).resolve().parent))

PARTS = {
    "steps": "steps",
    "passes": "passes",
    "large_photos": "large_photos",
    "scaling": "scaling",
    "allocator": "allocation",
}


def main(arguments: list[str]) -> int:
    """Run one part, or write all tables again."""
    if arguments and arguments[0] == "report":
        for module in PARTS.values():
            importlib.import_module(module).publish()
        return 0
    if not arguments or arguments[0] not in PARTS:
        print(__doc__)
        return 2
    importlib.import_module(PARTS[arguments[0]]).main(arguments[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
