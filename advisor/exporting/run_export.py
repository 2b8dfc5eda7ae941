"""A run's model for other programs, in one of the `formats`, compared with `predict` before it is kept.

In: a run directory. Out: a new folder with the model, `model.json` (what it takes and returns, the resize rule),
`example.py` (twenty lines that use it) and `README.md` (the model card). It is built beside its place and moved there only
after the parity check on real images of the run held; otherwise nothing is left behind. Does NOT cover: the graph itself
(`graph`), how each format is written (`formats`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.aliases import NamedProgress
from advisor.errors import OutputError
from advisor.exporting import parity, sidecar
from advisor.exporting.formats import registry as formats
from advisor.exporting.parity import Parity
from advisor.models import ensemble_predictor, model_files, predictor
from advisor.reporting import model_card

if TYPE_CHECKING:
    from advisor.exporting.int8_export import Int8Report
    from advisor.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Where the export lies, what is in it, and how the float32 graph compares with `predict`.

    `path` is "", and nothing is in it, where INT8 was measured and not kept (`QuantisationError.measured`).
    """

    path: str
    format: str
    files: tuple[str, ...]
    bytes: int
    parity: Parity
    int8: Int8Report | None = None  # where it was quantised: what that changed

    def __repr__(self) -> str:
        return f"Exported({self.format} in {self.path}, {self.bytes / 1e6:.1f} MB)"


def export(
    run: Path,
    form: str,
    *,
    registry: Registry,
    to: Path | None = None,
    data: Path | None = None,
    ensemble: bool = False,
    tolerance: float = parity.TOLERANCE,
    progress: NamedProgress | None = None,
) -> Exported:
    """Export a run's model and keep it only if it agrees with `predict`.

    `to` is the new folder (default: RUN/export-FORMAT); `data` says where the run's images are now; `ensemble` takes
    the run's ensemble instead of its single model. Raises InputError for an unknown format, a missing extra or missing
    images, OutputError where the place exists or cannot be written, CheckError where the comparison does not hold.
    """
    chosen = formats.find(form)
    run = run.parent if run.is_file() else run
    target = to or run / (f"export-ensemble-{form}" if ensemble else f"export-{form}")
    if os.path.lexists(target):
        raise OutputError(f"{target} exists already.", hint="Choose another --out, or move it away.")
    report = progress or (lambda what, done, total: None)
    model = (
        ensemble_predictor.load(run / model_files.ENSEMBLE_FOLDER, registry)
        if ensemble
        else predictor.load(run, registry)
    )
    photos = parity.run_images(run, data)
    with staged(target) as folder:
        report(f"writing the {form} export", 0, 1)
        chosen.write(model, folder, run, sidecar.describe(model, form, chosen.FILE))
        (folder / "example.py").write_text(chosen.example(model), encoding="utf-8")
        write_card(run, folder)
        compute = chosen.load(folder, registry)
        agreed = parity.require(model, compute, photos, form=form, tolerance=tolerance, progress=report)
        done = exported(target, folder, form, agreed)
    return done


def exported(target: Path, folder: Path, form: str, agreed: Parity) -> Exported:
    """Describe what a staged folder holds, which `target` will hold."""
    size = sum(file.stat().st_size for file in folder.iterdir())
    files = tuple(sorted(file.name for file in folder.iterdir()))
    return Exported(path=str(target), format=form, files=files, bytes=size, parity=agreed)


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target` that takes its name where the block ends well, and vanishes otherwise.

    Raises OutputError where it cannot be written, inside the block too.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as parent:
            folder = Path(parent) / "export"
            folder.mkdir()
            yield folder
            _flush(folder)
            os.rename(folder, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{target} cannot be written: {reason}.", hint="Choose another --out, or free space."
        ) from error


def write_card(run: Path, folder: Path) -> None:
    """Write the run's model card beside the export; a run that has none yet gets a provisional one."""
    if (run / "README.md").is_file():
        shutil.copyfile(run / "README.md", folder / "README.md")
        return
    from advisor.records import recipe_file
    from advisor.reporting import stored_results

    result, _ = stored_results.read(run)
    (folder / "README.md").write_text(model_card.render(result, recipe_file.read(run)), encoding="utf-8")


def _flush(folder: Path) -> None:
    for file in folder.iterdir():
        with open(file, "rb") as stream:
            os.fsync(stream.fileno())
