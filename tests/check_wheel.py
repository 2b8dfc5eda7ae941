"""Check a built wheel: `python tests/check_wheel.py dist/*.whl` exits non-zero where something is missing or too much."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

TOP = {"advisor", "advisor_torchvision", "advisor_strategies", "advisor_pocket", "advisor_lite", "advisor_timm"}
NEEDED = ("advisor/py.typed", "advisor/reporting/templates/report.html.j2", "advisor_pocket/pocket.safetensors")


def faults(wheel: Path) -> list[str]:
    """List what is wrong with a wheel; empty where nothing is."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    faulty = [f"unexpected at the top level: {top}" for top in sorted(tops - TOP)]
    faulty += [f"missing package: {top}" for top in sorted(TOP - tops)]
    faulty += [f"missing file: {name}" for name in NEEDED if name not in names]
    if not any(name.endswith("licenses/LICENSE") for name in names):
        faulty.append("missing file: LICENSE")
    return faulty


if __name__ == "__main__":
    problems = faults(Path(sys.argv[1]))
    print("\n".join(problems) or f"{sys.argv[1]}: as it should be")
    sys.exit(1 if problems else 0)
