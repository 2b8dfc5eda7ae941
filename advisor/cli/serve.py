"""`tl-advise serve`: the model of a run over HTTP, with a page to try it on."""

from __future__ import annotations

from pathlib import Path

import click

from advisor.cli import _options


@click.command(name="serve")
@click.argument("run", type=click.Path())
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, metavar="N", help="0: any.")
@_options.threads()
@click.option(
    "--engine",
    type=click.Choice(["torch", "onnxruntime"]),
    default="torch",
    show_default=True,
    help="What computes the answers; onnxruntime starts some seconds later and answers more images per second on a CPU.",
)
@click.option("--batch", type=click.IntRange(1, 1024), default=64, show_default=True, help="Largest batch.")
@click.option(
    "--abstain",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    metavar="RATE",
    help='Label images that are unlike the training images "unknown", at this rate of false alarms.',
)
@click.option("--max-body-mb", type=click.IntRange(1, 4096), default=32, show_default=True, metavar="MB")
@click.option("--max-megapixels", type=click.IntRange(1, 1000), default=50, show_default=True, metavar="MP")
@_options.blocked()
@click.option("--ensemble", is_flag=True, help="Serve the ensemble of the run instead of its single model.")
@click.option("-q", "--quiet", is_flag=True, help="Log warnings only, not every request.")
def command(
    run: str,
    host: str,
    port: int,
    threads: int | None,
    engine: str,
    batch: int,
    abstain: float | None,
    max_body_mb: int,
    max_megapixels: int,
    blocked: tuple[str, ...],
    ensemble: bool,
    quiet: bool,
) -> int:
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
    from advisor.errors import InputError

    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"serving needs packages that are not installed ({error.name}).", hint="pip install 'tl-advise[serve]'"
        ) from None
    import torch

    from advisor.cli import _console
    from advisor.cli.predict import load_predictor
    from advisor.runtime import device
    from advisor.serving import app, engines, server
    from advisor.serving.limits import ServerLimits

    cores = threads or device.cores()
    torch.set_num_threads(cores)
    bound = server.bind(host, port)
    predictor = load_predictor(run, blocked, ensemble)
    folder = Path(run).parent if Path(run).is_file() else Path(run)
    limits = ServerLimits(body_bytes=max_body_mb * 2**20, pixels=max_megapixels * 1_000_000)
    computed = engines.in_onnxruntime(predictor, cores) if engine == "onnxruntime" else engines.in_torch(predictor)
    application = app.create(
        predictor, folder, engine=computed, limits=limits, decoders=device.cores(), batch=batch, abstain=abstain
    )
    server.log_to_stderr(quiet=quiet)
    shown = f"[{host}]" if ":" in host else host
    _console.say(f"serving {run} at http://{shown}:{bound.getsockname()[1]} (Ctrl-C to stop)")
    server.run(application, bound)
    return 0
