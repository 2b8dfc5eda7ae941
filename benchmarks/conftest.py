"""Let the tests beside these scripts import them, as the scripts import each other."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "curves"), str(HERE / "search")]
