"""The model card: result and recipe -> README.md in the format that model hubs read (a YAML head, then plain words).

It is written beside every run and every export. Does NOT cover: the drawings of the report (`report`).
Source: the metadata fields of https://huggingface.co/docs/hub/model-cards (model-index, library, pipeline tag).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advisor.records import Environment, Result, TestScore
from advisor.records.recipe import Outcome, Recipe
from advisor.reporting import assessment, wording
from advisor.reporting.parts import distilled, ensembles
from advisor.safe_text import printable

SHOWN_CLASSES = 200


def render(result: Result, recipe: Recipe, *, licence: str = "unknown", run: str = "RUN") -> str:
    """Return the card as Markdown. `licence` is that of the pretrained weights, `run` what the commands name."""
    name = recipe.data.name or Path(result.dataset.path).name
    parts = [
        _head(result, recipe, name, licence),
        f"# {_plain(name)}: {wording.choice(result.best)}\n",
        _what(result, recipe),
        _scores(result),
        _warnings(result),
        _data(recipe),
        _use(recipe, wording.quoted(run)),
        _made(recipe, licence, result.environment, _regime(result)),
    ]
    text = "\n".join(part for part in parts if part)
    return "\n".join(printable(line) for line in text.split("\n"))


def render_adapted(recipe: Recipe, *, licence: str = "unknown", run: str = "RUN") -> str:
    """Return the card of a model that was adapted to a target, whose scores stand in its recipe."""
    from advisor.records import strict_yaml

    assert recipe.target is not None
    assert recipe.outcome is not None
    name, quoted = recipe.data.name, wording.quoted(run)
    classes, images = wording.number(len(recipe.data.classes)), wording.number(recipe.target.images)
    parts = [
        f"---\n{strict_yaml.dumps(_fields(recipe, 'domain-adaptation', licence))}---\n",
        f"# {_plain(name)}: {recipe.strategy.name} on {recipe.backbone.name}, adapted to another domain\n",
        f"Classifies an image into one of {classes} classes. It was trained on labelled images and adapted to {images} "
        "unlabelled images of another domain (the target). No label of the target was used for training or for the choice.\n",
        _adapted_scores(recipe.outcome),
        _data(recipe),
        _use(recipe, quoted),
        _made(recipe, licence, recipe.outcome.environment, "adaptation to a target"),
    ]
    return "\n".join(printable(line) for line in "\n".join(parts).split("\n"))


def _adapted_scores(outcome: Outcome) -> str:
    rows = []
    if outcome.test is not None:
        rows += [
            (
                f"accuracy on the labelled part of the target, {wording.images(outcome.test.n)}",
                wording.percent(outcome.test.accuracy),
            ),
            ("95 % interval", wording.span(outcome.test.ci95)),
        ]
    if outcome.validation is not None:
        rows.append(("accuracy on held-out images of the source", wording.percent(outcome.validation.accuracy)))
    return "## Scores\n\n" + _table(("measure", "value"), rows)


def _fields(recipe: Recipe, tag: str, licence: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "library_name": "tl-advise",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "transfer-learning", "tl-advise", recipe.backbone.name, tag],
    }
    if licence != "unknown":
        fields["license"] = "other"
        fields["license_name"] = licence
    return fields


def _head(result: Result, recipe: Recipe, name: str, licence: str) -> str:
    """The YAML head. Hubs list a model by its `model-index`; without a test score there is none to list."""
    from advisor.records import strict_yaml

    fields = _fields(recipe, result.regime.name, licence)
    if result.test:
        metrics = [
            {
                "type": "accuracy",
                "value": round(result.test.accuracy, 6),
                "name": f"test accuracy, n = {result.test.n}",
            },
            {
                "type": "balanced_accuracy",
                "value": round(result.test.balanced_accuracy, 6),
                "name": "balanced accuracy",
            },
        ]
        where = {"type": "imagefolder", "name": name, "split": "test"}
        task = {"type": "image-classification", "name": "image classification"}
        fields["model-index"] = [{"name": name, "results": [{"task": task, "dataset": where, "metrics": metrics}]}]
    return f"---\n{strict_yaml.dumps(fields)}---\n"


def _what(result: Result, recipe: Recipe) -> str:
    judged = assessment.assess(result)
    classes = recipe.data.classes
    listed = ", ".join(_plain(name) for name in classes[:20]) + (
        f" and {len(classes) - 20} more" if len(classes) > 20 else ""
    )
    status = "" if result.status == "final" else "\n**Provisional**: the search had not ended when this was written.\n"
    brought = wording.gain(result) if result.distillation is None else distilled.gain(result.distillation)
    decided = "".join(f"**{_plain(line)}**\n" for line in wording.objective(result))
    return (
        f"Classifies an image into one of {len(classes)} classes: {listed}.\n{status}\n{decided}"
        f"**{wording.score(result.test, result.test_reason)}** {_plain(judged.verdict)} {brought}\n"
    )


def _scores(result: Result) -> str:
    rows = [
        (
            "accuracy on validation (it chose the model, so it tends to be too high)",
            wording.percent(result.validation.accuracy),
        )
    ]
    test = result.test
    if test:
        rows = [
            (f"accuracy on the test set, {wording.images(test.n)}", wording.percent(test.accuracy)),
            ("95 % interval", wording.span(test.ci95)),
            *_guess_row(test),
            ("balanced accuracy (mean over classes)", wording.percent(test.balanced_accuracy)),
            ("log-loss", f"{test.log_loss:.3f}"),
            *rows,
        ]
    if result.baseline and result.baseline.test:
        rows.append(("untuned default on the same test images", wording.percent(result.baseline.test.accuracy)))
    if result.ensemble:
        rows.append(("ensemble", ensembles.offered(result, "RUN")))
    if result.calibration.ece is not None:
        rows.append(
            ("calibration error (average gap between confidence and accuracy)", wording.percent(result.calibration.ece))
        )
    rows.append(("temperature of the probabilities", f"{result.calibration.temperature:.2f}"))
    text = "## Scores\n\n" + _table(("measure", "value"), rows)
    if test and test.per_class:
        per = [
            (_plain(name), wording.percent(score.recall), wording.percent(score.precision), str(score.n))
            for name, score in list(test.per_class.items())[:SHOWN_CLASSES]
        ]
        text += "\nPer class, on the test set:\n\n" + _table(("class", "recall", "precision", "images"), per)
        if len(test.per_class) > SHOWN_CLASSES:
            text += f"\n{len(test.per_class) - SHOWN_CLASSES} more classes are in `result.json`.\n"
    return text


def _guess_row(test: TestScore) -> list[tuple[str, str]]:
    guess = assessment.largest_class(test)
    return [(f"always answering {_plain(guess.label)}", wording.percent(guess.share))] if guess else []


def _warnings(result: Result) -> str:
    lines = list(dict.fromkeys(result.warnings))
    small = assessment.small_classes(result.test.per_class) if result.test else []
    if small:
        shown = ", ".join(small[:10]) + (" …" if len(small) > 10 else "")
        lines.append(
            f"Fewer than {assessment.FEW_TEST_IMAGES} test images, so the scores of these classes are uncertain: {shown}."
        )
    if not lines:
        return ""
    return "## Warnings\n\n" + "".join(f"- {_plain(line)}\n" for line in lines)


def _data(recipe: Recipe) -> str:
    data = recipe.data
    how = {
        "given": "came with the data",
        "cut": f"is {wording.percent(data.split.test / max(1, data.images), 0)} of the images, chosen by their content",
        "none": "",
    }[data.split.rule]
    test = f"The test set {how}; no decision used it." if how else "There is no test set."
    rows = [
        ("images", wording.number(data.images)),
        ("training and validation", wording.number(data.split.pool)),
        ("test", wording.number(data.split.test)),
        ("fingerprint", f"`{data.fingerprint}`"),
    ]
    leaks = " Images that are also in the test set were removed from training." if data.leaks_removed else ""
    return f"## Data\n\n{test}{leaks}\n\n" + _table(("", ""), rows)


def _use(recipe: Recipe, run: str) -> str:
    size = recipe.input.size_px
    return (
        "## Use\n\n"
        f"```sh\ntl-advise predict {run} PHOTOS\ntl-advise rerun {run} --verify\n```\n\n"
        f"{_plain(run)} is the run directory. The network takes images of {size} x {size} pixels; `model.json` describes how "
        "an image is resized, and `predict` does it.\n"
    )


def _regime(result: Result) -> str:
    deep = wording.regime(result.regime.name)
    why = wording.reason(result).removeprefix(f"{deep}: ")
    return f"{deep}. {why[:1].upper()}{why[1:]}"


def _made(recipe: Recipe, licence: str, machine: Environment, regime: str) -> str:
    weights = recipe.backbone.weights
    start = f"`{weights.file}` (SHA-256 `{weights.sha256}`)" if weights else "random weights (from scratch)"
    rows = [
        ("network", f"{recipe.backbone.name} ({recipe.backbone.plugin.distribution} {recipe.backbone.plugin.version})"),
        ("started from", start),
        ("licence of the pretrained weights", licence if weights else wording.NONE),
        ("strategy", f"{recipe.strategy.name}: {wording.settings(recipe.strategy.parameters)}"),
        ("regime", regime),
        ("seed", str(recipe.seed)),
        (
            "machine",
            f"{machine.model}, {machine.device}, {machine.threads} thread{'' if machine.threads == 1 else 's'}",
        ),
        ("versions", ", ".join(f"{name} {version}" for name, version in machine.versions.items())),
        ("made by", recipe.created_by),
    ]
    return "## How it was made\n\n" + _table(("", ""), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in lines)


def _plain(text: str) -> str:
    """Return a name that is not read as Markdown or HTML, on one line."""
    text = printable(" ".join(text.split()))
    for sign, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), *((sign, f"\\{sign}") for sign in "\\`*_[]#~$")):
        text = text.replace(sign, safe)
    return text
