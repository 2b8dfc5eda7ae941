"""`tl-advise demo`: the whole job on images that a dependency ships, without a download."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from advisor.cli import _options

PER_CLASS = 60
SIDE_PX = 64


@click.command(name="demo")
@_options.out("Folder for the images and the run. [tl-advise-demo]")
@click.option("--budget", default="60s", show_default=True, metavar="TIME", help="Hard limit for the run.")
@_options.seed()
@_options.device()
@_options.threads()
@click.option(
    "--offline/--online", default=True, help="Use only weights that are available locally, or download more. [offline]"
)
@_options.quiet()
@_options.verbose()
@_options.as_json()
def command(out: str | None, budget: str, offline: bool, quiet: bool, verbose: bool, as_json: bool, **call: Any) -> int:
    """Run the whole job on 600 images of handwritten digits that scikit-learn ships, with the built-in backbone.

    \b
    Example:
      tl-advise demo --out /tmp/demo
    """
    import datetime

    from advisor import advice
    from advisor.cli._live_progress import LiveProgress
    from advisor.cli.advise import print_result
    from advisor.records import Settings
    from advisor.runtime import durations
    from advisor.runtime.run_dir import default_folder

    base = Path(out or "tl-advise-demo")
    digits = base / "digits"
    write_digits(digits)
    settings = Settings(
        data=str(digits),
        command=f"tl-advise {shlex.quote(str(digits))} --budget {budget}{' --offline' if offline else ''}",
        budget_s=durations.parse(budget),
        offline=offline,
        **call,
    )
    run = default_folder(digits, datetime.datetime.now(), base)
    with LiveProgress(quiet=quiet, verbose=verbose) as screen:
        result, rundir = advice.advise(settings, out=run, listener=screen)
    print_result(result, rundir.path, as_json)
    return 0


def write_digits(folder: Path, per_class: int = PER_CLASS) -> None:
    """Write scikit-learn's handwritten digits (UCI, CC-BY 4.0) as BMP files into class folders; files that exist are kept.

    BMP, since its bytes are the same whatever the version of Pillow: a recipe knows its data by their bytes.
    """
    import io

    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    from advisor.errors import OutputError

    data = load_digits()
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    try:
        for digit, word in enumerate(words):
            class_folder = folder / word
            class_folder.mkdir(parents=True, exist_ok=True)
            for index in np.flatnonzero(data.target == digit)[:per_class]:
                file = class_folder / f"{index:04d}.bmp"
                pixels = np.clip(255 - data.images[index] * 15.9, 0, 255).astype(np.uint8)
                content = io.BytesIO()
                Image.fromarray(pixels).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).save(content, "BMP")
                # A kill or a full disk leaves a part of one file.
                if not file.exists() or file.stat().st_size != content.tell():
                    file.write_bytes(content.getvalue())
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}).", hint="Choose another --out.") from error
