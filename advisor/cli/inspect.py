"""`tl-advise inspect`: check a data set before anything is trained. No torch on this path."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from advisor.records import Dataset, Profile, Quantiles

SHOWN_CLASSES = 24
SHOWN_PATHS = 8
SHOWN_SUFFIXES = 8


@click.command(name="inspect")
@click.argument("dataset", type=click.Path())
@click.option("--deep", is_flag=True, help="Decode every file, to find damaged images and near-duplicates.")
@_options.test_split()
@_options.reading()
@_options.relabel()
@_options.offline()
@_options.quiet()
@_options.as_json("Print the profile as JSON on standard output.")
def command(
    dataset: str,
    deep: bool,
    test_split: str,
    relabel: str | None,
    offline: bool,
    quiet: bool,
    as_json: bool,
    **call: Any,
) -> None:
    """Check a data set: sizes, classes, splits, duplicates, leaks, broken files. Nothing is trained.

    DATASET is a folder with one folder per class; or train/, val/ and test/ with such folders; or a table (CSV, TSV, JSONL,
    Parquet) of path,label; or one of the other layouts (documentation: "Your data"). Only headers and checksums are read,
    unless --deep is given.

    \b
    Examples:
      tl-advise inspect ./photos
      tl-advise inspect ./photos --deep
      tl-advise inspect labels.csv --json
    """
    from advisor.cli import _console
    from advisor.data import dataset as datasets
    from advisor.data import profile
    from advisor.data.tables import corrections
    from advisor.runtime import cache

    options = _options.read_options(call)
    with _console.bar(quiet) as bar:
        access: dict[str, Any] = {"progress": partial(bar, "reading files"), "note": _console.note, "offline": offline}
        data_set = datasets.read(dataset, test_split=test_split, options=options, **access)
        profile.check_learnable(data_set)
        similar = None
        if deep:
            decoding, stage = partial(bar, "decoding"), lambda text: bar(text, 0, 0)
            decoded = profile.decode(data_set, store=cache.Store(), progress=decoding, stage=stage)
            data_set, similar = decoded.dataset, decoded.similar
        data_set = corrections.apply(data_set, relabel) if relabel else data_set
    measured = profile.measure(data_set, similar=similar)
    profile.check_learnable(data_set)
    if as_json:
        _console.as_json(facts(data_set, measured))
    else:
        _print(data_set, measured)


def facts(dataset: Dataset, profile: Profile) -> dict[str, Any]:
    """Return the profile with the path and the layout of the data set, ready for JSON."""
    source = {"path": dataset.root, "layout": dataset.layout, "skipped": dataset.skipped}
    if dataset.relabelled is not None:
        source["relabelled"] = asdict(dataset.relabelled)
    return {**source, **asdict(profile), "per_class": profile.per_class}


def _print(dataset: Dataset, profile: Profile) -> None:
    from advisor.cli import _console
    from advisor.data.archives import unpacking

    out = _console.console()
    out.print(f"[bold]{_console.text(unpacking.given(dataset.root))}[/bold]")
    out.print(_overview(dataset, profile))
    out.print(_classes(profile))
    out.print(_shapes(profile))
    modes = ", ".join(f"{_console.text(mode)} {n:,}" for mode, n in profile.modes.items())
    crop = f"A square centre crop removes {profile.crop_loss:.0%} of an image on average."
    out.print(f"{crop} Colour modes: {modes}.", soft_wrap=True)
    _list_duplicates(out, profile)
    _list_unreadable(out, profile)
    for warning in profile.warnings:
        _console.say(f"warning: {warning}")
    if any(group.across for group in profile.duplicates):
        _console.say("`tl-advise advise --remove-leaks` removes the leaking images from training.")
    if not profile.near_checked:
        _console.say("--deep also decodes every file, to find damaged images and near-duplicates.")


def _overview(dataset: Dataset, profile: Profile) -> Table:
    from advisor.cli import _console
    from advisor.reporting import insight_text

    layouts = {
        "folders": "one folder per class",
        "splits": "train/val/test folders",
        "manifest": "table of images",
        "metadata": "images with metadata tables",
        "class_first": "splits inside of class folders",
        "kaggle": "flat folders with tables",
        "names": "labels in file names",
        "webdataset": "WebDataset shards",
        "huggingface": "data set saved by Hugging Face datasets",
        "parquet": "Parquet files",
    }
    rules = {
        "given": "test set as given",
        "cut": f"{dataset.split.test / max(1, len(dataset.items)):.0%} held out as the test set, by content",
        "none": "no test set, so no test score",
    }
    test = f"{dataset.split.test:,} for the test ({rules[dataset.split.rule]})"
    split = f"{dataset.split.pool:,} for training and validation, {test}"
    per_class = f"{len(profile.classes):,}, {profile.per_class:,.1f} images per class on average, {_balance(profile)}"
    table = _console.facts()
    table.add_row("layout", _console.text(layouts.get(dataset.layout, dataset.layout)))
    table.add_row("images", f"{profile.images:,} readable, {len(profile.unreadable):,} unreadable")
    table.add_row("classes", per_class)
    table.add_row("split", split)
    table.add_row("skipped", _skipped(dataset))
    if dataset.relabelled is not None:
        table.add_row("relabelled", _console.text(insight_text.relabelled(dataset.relabelled), longest=1000))
    if profile.joined is not None:
        table.add_row("similar", insight_text.joined(profile.joined))
    if dataset.holds_out_val:
        table.add_row("validation", "the given validation set (--val pool adds it to training)")
    if profile.value_range is not None:
        table.add_row("samples", "{:g} to {:g} become black to white".format(*profile.value_range))
    table.add_row("fingerprint", profile.fingerprint)
    return table


def _skipped(dataset: Dataset) -> str:
    from advisor.cli import _console

    most = list(dataset.skipped_suffixes.items())[:SHOWN_SUFFIXES]
    suffixes = ", ".join(f"{_console.text(suffix) or 'no suffix'} {n:,}" for suffix, n in most)
    return f"{dataset.skipped:,} hidden or other files" + (f" ({suffixes})" if suffixes else "")


def _balance(profile: Profile) -> str:
    if profile.imbalance < 1.05:
        return "balanced"
    return f"the largest has {profile.imbalance:.1f} times the images of the smallest"


def _classes(profile: Profile) -> Table:
    """Images of each class; of many classes the largest and the smallest."""
    from advisor.cli import _console

    pool, test = profile.counts["pool"], profile.counts["test"]
    order = sorted(profile.classes, key=lambda name: (-pool[name], name))
    half = SHOWN_CLASSES // 2
    table = _console.listing("class", "training", "test", "")
    for column in table.columns[1:3]:
        column.justify = "right"
    few = len(order) <= SHOWN_CLASSES
    for name in order if few else order[:half]:
        table.add_row(_console.text(name), f"{pool[name]:,}", f"{test[name]:,}", "")
    if not few:
        table.add_row(f"... {len(order) - 2 * half:,} more ...", "", "", "")
        for name in order[-half:]:
            table.add_row(_console.text(name), f"{pool[name]:,}", f"{test[name]:,}", "")
    return table


def _shapes(profile: Profile) -> Table:
    from advisor.cli import _console

    table = _console.listing("pixels", "min", "5 %", "median", "95 %", "max", "")

    def row(name: str, q: Quantiles, form: str) -> None:
        table.add_row(name, *(format(v, form) for v in (q.low, q.q05, q.median, q.q95, q.high)), "")

    row("width", profile.width, ",.0f")
    row("height", profile.height, ",.0f")
    row("width / height", profile.aspect, ".2f")
    return table


def _list_duplicates(out: Console, profile: Profile) -> None:
    from advisor.cli import _console

    groups = sorted(profile.duplicates, key=lambda g: (not g.across, not g.labels_differ, g.kind, g.paths))
    if not groups:
        checked = "identical files and near-duplicates" if profile.near_checked else "identical files"
        _console.say(f"No duplicates (checked: {checked}).")
        return
    table = _console.listing("duplicates", "", "files")
    for group in groups[:SHOWN_PATHS]:
        marks = ["[red]leak between training and test[/red]"] * group.across + [
            "[red]labels differ[/red]"
        ] * group.labels_differ
        names = ", ".join(_console.text(path) for path in group.paths[:4])
        more = f" and {len(group.paths) - 4} more" if len(group.paths) > 4 else ""
        table.add_row(group.kind, ", ".join(marks), names + more)
    if len(groups) > SHOWN_PATHS:
        table.add_row("...", "", f"{len(groups) - SHOWN_PATHS:,} more groups (--json lists all)")
    out.print(table)


def _list_unreadable(out: Console, profile: Profile) -> None:
    from advisor.cli import _console

    if not profile.unreadable:
        return
    table = _console.listing("unreadable", "reason")
    for file in profile.unreadable[:SHOWN_PATHS]:
        table.add_row(_console.text(file.path), _console.text(file.reason))
    if len(profile.unreadable) > SHOWN_PATHS:
        table.add_row("...", f"{len(profile.unreadable) - SHOWN_PATHS:,} more (--json lists all)")
    out.print(table)
