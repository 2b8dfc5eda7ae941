"""A run's model for other programs: torch.export, ONNX or safetensors, each compared with `predict` before it is kept.

In: a run directory. Out: a new folder with the model, `model.json` (what it takes and gives, the resize rule),
`example.py` (ten lines that use it) and `README.md` (the model card). It is built beside its place and moved there only
after the parity check on real images of the run held; otherwise nothing is left behind. What it does not cover: the
graph itself (`export_graph`).
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advisor.aliases import Float64s, Pixels
from advisor.errors import CheckError, InputError, OutputError
from advisor.models import ensemble_predictor, export_graph, export_parity, model_files, predictor
from advisor.models.ensemble_predictor import EnsemblePredictor
from advisor.models.export_parity import Answer, Parity, Progress
from advisor.models.predictor import Predictor
from advisor.reporting import model_card

if TYPE_CHECKING:
    import torch

    from advisor.registry import Registry

FILES = {"torch": "model.pt2", "onnx": "model.onnx", "safetensors": "model.safetensors"}


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Where the export lies, what is in it, and how it compared."""

    path: str
    format: str
    files: tuple[str, ...]
    bytes: int
    parity: Parity


def export(
    run: Path,
    form: str,
    *,
    registry: Registry,
    to: Path | None = None,
    data: Path | None = None,
    ensemble: bool = False,
    tolerance: float = export_parity.TOLERANCE,
    progress: Progress | None = None,
) -> Exported:
    """Export a run's model and keep it only if it agrees with `predict`.

    `to` is the new folder (default: RUN/export-FORMAT); `data` says where the run's images are now; `ensemble` takes
    the run's ensemble instead of its single model. Raises InputError for an unknown format, a missing extra or missing
    images, OutputError where the place exists or cannot be written, CheckError where the comparison does not hold.
    """
    check_format(form)
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
    photos = export_parity.run_images(run, data)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as staged:
            place = Path(staged) / "export"
            place.mkdir()
            report(f"writing the {form} export", 0, 1)
            _write(model, form, place, run)
            answer = runner(form, place, registry)
            compared = export_parity.compare(model, answer, photos, tolerance=tolerance, progress=report)
            if not compared.holds:
                raise CheckError(f"{form} export: {compared.complaint}", hint="Nothing was kept.")
            size = sum(file.stat().st_size for file in place.iterdir())
            files = tuple(sorted(file.name for file in place.iterdir()))
            _flush(place)
            os.rename(place, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{target} cannot be written: {reason}.", hint="Choose another --out, or free space."
        ) from error
    return Exported(path=str(target), format=form, files=files, bytes=size, parity=compared)


def check_format(form: str) -> None:
    """Refuse a format that does not exist, or whose packages are not installed, before any work is done.

    Raises: InputError.
    """
    if form not in FILES:
        raise InputError(f"--format {form}: there is no such format.", hint=f"Choose one of {', '.join(FILES)}.")
    if form == "onnx":
        missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
        if missing:
            raise InputError(f"--format onnx needs {', '.join(missing)}.", hint="pip install 'tl-advise[onnx]'")


def runner(form: str, place: Path, registry: Registry) -> Answer:
    """Load what was exported, as its user would, and give a function from uint8 (N, S, S, 3) to probabilities."""
    file = place / FILES[form]
    if form == "safetensors":
        whole = (place / model_files.ENSEMBLE).is_file()
        again = ensemble_predictor.load(place, registry) if whole else predictor.load(place, registry)
        return again.probabilities
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda squares: np.asarray(session.run(None, {export_graph.INPUT: squares})[0], dtype=np.float64)
    import torch

    module = torch.export.load(file).module()

    def run_module(squares: Pixels) -> Float64s:
        with torch.inference_mode():
            return module(torch.from_numpy(np.ascontiguousarray(squares))).double().numpy()  # type: ignore[no-any-return]

    return run_module


def _write(model: Predictor | EnsemblePredictor, form: str, place: Path, run: Path) -> None:
    """Write model, description, example and card."""
    file = FILES[form]
    told = export_graph.description(model, form, file)
    if form == "safetensors":
        _write_safetensors(model, place, run, {"format": form, "resize": told["resize"], "input": told["input"]})
    else:
        text = _readable(told)
        (place / "model.json").write_text(text + "\n", encoding="utf-8")
        program = export_graph.graph(model)
        (write_torch if form == "torch" else write_onnx)(program, place / file, text)
    (place / "example.py").write_text(export_graph.example(model, form, file), encoding="utf-8")
    _write_card(run, place)


def _write_safetensors(model: Predictor | EnsemblePredictor, place: Path, run: Path, told: dict[str, Any]) -> None:
    """Write the same files as in a run, so that `predict` reads them; the resize rule in words beside the numbers."""
    if isinstance(model, EnsemblePredictor):
        model_files.copy_ensemble(run / model_files.ENSEMBLE_FOLDER, place, told)
        return
    kept = {key: model.description[key] for key in ("status", "strategy", "plugin") if key in model.description}
    predictor.save(
        model.classifier,
        place / FILES["safetensors"],
        place / "model.json",
        classes=model.classes,
        preprocess=model.preprocess,
        size_px=model.size_px,
        fit=model.fit,
        temperature=model.temperature,
        extra={**kept, "file": FILES["safetensors"], **told},
    )


def _readable(told: dict[str, Any]) -> str:
    """JSON with innermost lists on one line; names hold no raw line breaks, so only layout is touched."""
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\n\s*", " ", found[0]), json.dumps(told, indent=1))


def write_torch(program: torch.export.ExportedProgram, path: Path, description: str) -> None:
    """Write the traced program, with its description inside. Raises: OSError."""
    import torch

    # Into memory first: torch's own file writer answers a full disk with an error of no particular kind.
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"model.json": description})
    path.write_bytes(buffer.getbuffer())


def write_onnx(program: torch.export.ExportedProgram, path: Path, description: str) -> None:
    """Write the traced program as ONNX, with its description in the metadata. Raises: OSError."""
    import torch

    made: Any = torch.onnx.export(
        program, (), dynamo=True, input_names=[export_graph.INPUT], output_names=[export_graph.OUTPUT], verbose=False
    )
    told = json.loads(description)
    made.model.metadata_props.update({"classes": json.dumps(told["classes"]), "model.json": description})
    path.write_bytes(made.model_proto.SerializeToString())


def _write_card(run: Path, place: Path) -> None:
    """Put the run's model card beside the export; a run that has none yet gets a provisional one."""
    if (run / "README.md").is_file():
        shutil.copyfile(run / "README.md", place / "README.md")
        return
    import msgspec

    from advisor.records import Result, recipe_file

    result = msgspec.json.decode((run / "result.json").read_bytes(), type=Result)
    (place / "README.md").write_text(model_card.render(result, recipe_file.read(run)), encoding="utf-8")


def _flush(place: Path) -> None:
    for file in place.iterdir():
        with open(file, "rb") as stream:
            os.fsync(stream.fileno())
