"""Put a weights file into the package: `python -m advisor_pocket.training.install DIR/pocket.safetensors`.

Copies the file beside `advisor_pocket/__init__.py` and writes its SHA-256 and size there and into the card, after
checking that it loads.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file

import advisor_pocket


def install(file: Path) -> str:
    """Check, copy and record `file`; give its SHA-256. Raises RuntimeError where it does not fit the network."""
    advisor_pocket.build().load_state_dict(load_file(file))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    shutil.copyfile(file, advisor_pocket.WEIGHTS_FILE)
    module = Path(advisor_pocket.__file__)
    text = re.sub(r'WEIGHTS_SHA256 = "\w*"', f'WEIGHTS_SHA256 = "{digest}"', module.read_text())
    module.write_text(re.sub(r"WEIGHTS_BYTES = [\d_]+", f"WEIGHTS_BYTES = {file.stat().st_size:_}", text))
    card = module.with_name("README.md")
    card.write_text(re.sub(r"(?<=SHA-256 \| `)\w+", digest, card.read_text()))
    return digest


if __name__ == "__main__":
    print(install(Path(sys.argv[1])))
