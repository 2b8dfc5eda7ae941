"""`tl-advise serve`: the model of a run over HTTP, with a page to try it on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options

if TYPE_CHECKING:
    from advisor.records import Compute


@click.command(name="serve")
@click.argument("run", type=click.Path())
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, metavar="N", help="0: any.")
@_options.device()
@_options.threads()
@click.option(
    "--engine",
    type=click.Choice(["torch", "onnxruntime"]),
    default="torch",
    show_default=True,
    help="What computes the answers; onnxruntime starts some seconds later and answers more images per second on a CPU.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 1024),
    default=64,
    show_default=True,
    metavar="N",
    help="Images that pass through the network together, at most.",
)
@click.option(
    "--abstain",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    metavar="RATE",
    help='Label images that are unlike the training images "unknown", at this rate of false alarms.',
)
@click.option(
    "--max-body-mb",
    type=click.IntRange(1, 4096),
    default=32,
    show_default=True,
    metavar="MB",
    help="Largest request, in MiB (2^20 bytes).",
)
@click.option(
    "--max-megapixels",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    metavar="MP",
    help="Largest image, in megapixels.",
)
@_options.blocked()
@click.option("--ensemble", is_flag=True, help="Serve the ensemble of the run instead of its single model.")
@click.option("-q", "--quiet", is_flag=True, help="Log warnings only, not every request.")
def command(run: str, host: str, port: int, engine: str, **call: Any) -> int:
    """Serve the model of a run over HTTP, with a page to try it on.

    POST /predict answers like `tl-advise predict --json`; GET /health, /model, /report and /docs describe the rest. The
    server listens on this machine only unless --host says otherwise; put a proxy with authentication in front of it before
    you open it to others. Ctrl-C ends it after the requests under way.

    \b
    Examples:
      tl-advise serve runs/ants
      tl-advise serve runs/ants --port 0 --threads 2
      tl-advise serve runs/ants --abstain 0.05
      tl-advise serve runs/ants --engine onnxruntime
      curl --data-binary @photo.jpg -H "Content-Type: image/jpeg" http://127.0.0.1:8000/predict
    """
    _check_packages()
    import torch

    from advisor.cli import _console
    from advisor.cli.predict import load_predictor
    from advisor.models.predict import check_abstain
    from advisor.runtime import device
    from advisor.serving import app, engines, server
    from advisor.serving.limits import ServerLimits

    compute = _compute(call["device"], engine)
    cores = call["threads"] or device.cores()
    torch.set_num_threads(cores)
    bound = server.bind(host, port)
    predictor = load_predictor(run, call["blocked"], call["ensemble"])
    check_abstain(predictor.index, call["abstain"])
    on_cpu = engine == "onnxruntime"
    application = app.create(
        predictor,
        Path(run).parent if Path(run).is_file() else Path(run),
        engine=engines.in_onnxruntime(predictor, cores) if on_cpu else engines.in_torch(predictor, compute),
        limits=ServerLimits(body_bytes=call["max_body_mb"] * 2**20, pixels=call["max_megapixels"] * 1_000_000),
        decoders=device.cores(),
        batch=call["batch"],
        abstain=call["abstain"],
    )
    server.log_to_stderr(quiet=call["quiet"])
    shown = f"[{host}]" if ":" in host else host
    _console.say(f"serving {run} at http://{shown}:{bound.getsockname()[1]} (Ctrl-C to stop)")
    if server.is_open(bound):
        _console.note("other machines can reach this server, and it has no authentication")
    server.run(application, bound)
    return 0


def _check_packages() -> None:
    from advisor.errors import InputError

    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"serving needs packages that are not installed ({error.name}).", hint="pip install 'tl-advise[serve]'"
        ) from None


def _compute(name: str, engine: str) -> Compute:
    """Return where the answers are computed. Raises InputError where the engine computes on a CPU only."""
    from advisor.errors import InputError
    from advisor.runtime import device

    if engine == "onnxruntime" and name.strip().lower() not in ("auto", "cpu"):
        raise InputError(
            f"--engine onnxruntime computes on the CPU, not on {name}.", hint="Remove --device, or --engine."
        )
    return device.choose("cpu" if engine == "onnxruntime" else name)
