"""`tl-advise demo`: the main job on images that a dependency ships, with no download."""

from __future__ import annotations

from pathlib import Path

import click

PER_CLASS = 60
SIDE_PX = 64


@click.command(name="demo")
@click.option("--out", default="tl-advise-demo", show_default=True, type=click.Path(), help="Images and run go here.")
@click.option("--budget", default="60s", show_default=True, metavar="TIME", help="Time for the run.")
@click.option("--offline/--online", default=True, help="Whether other weights may be fetched. [offline]")
@click.option("--quiet", is_flag=True, help="No progress, only the answer.")
def command(out: str, budget: str, offline: bool, quiet: bool) -> int:
    """Run the main job on 600 handwritten digits that scikit-learn ships, with the built-in backbone.

    \b
    Example:
      tl-advise demo --out /tmp/demo
    """
    import datetime

    from advisor import advice
    from advisor.cli._live_progress import Screen
    from advisor.cli.advise import answer, stopped_by_signals
    from advisor.records import Settings
    from advisor.runtime import durations
    from advisor.runtime.run_dir import default_place

    digits = Path(out) / "digits"
    write_digits(digits)
    settings = Settings(
        data=str(digits),
        command=f"tl-advise {digits} --budget {budget} --offline",
        budget_s=durations.parse(budget),
        offline=offline,
    )
    place = default_place(digits, datetime.datetime.now(), Path(out))
    with Screen(quiet=quiet) as screen, stopped_by_signals():
        result, rundir = advice.advise(settings, out=place, listener=screen)
    answer(result, rundir.path, as_json=False)
    return 0


def write_digits(folder: Path, per_class: int = PER_CLASS) -> None:
    """Write scikit-learn's handwritten digits (UCI, CC-BY 4.0) as BMP files in class folders; keeps what is there.

    BMP, since its bytes are the same whatever the version of Pillow: a recipe knows its data by their bytes.
    """
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    from advisor.errors import OutputError

    data = load_digits()
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    try:
        for digit, word in enumerate(words):
            place = folder / word
            place.mkdir(parents=True, exist_ok=True)
            for index in np.flatnonzero(data.target == digit)[:per_class]:
                file = place / f"{index:04d}.bmp"
                if not file.exists():
                    pixels = np.clip(255 - data.images[index] * 15.9, 0, 255).astype(np.uint8)
                    picture = Image.fromarray(pixels).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
                    picture.save(file)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}).", hint="Choose another --out.") from error
