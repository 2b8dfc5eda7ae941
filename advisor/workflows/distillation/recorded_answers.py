"""A distilled recipe's own teacher: its answers beside the recipe, opened again for a rerun.

In: a recipe with a `teacher`, the data as they are now. Out: what a worker opens, with the answers and unlabelled images.
Does NOT cover: retraining (`rerun`), asking a teacher (`teacher`).
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from advisor.data import pixels
from advisor.errors import RecipeError
from advisor.records import Dataset
from advisor.records.messages import OpenDataset
from advisor.records.recipe import Recipe, TeacherUse
from advisor.registry import Registry
from advisor.runtime.progress import Listener
from advisor.training import soft_answers
from advisor.workflows.distillation import unlabelled


def add(
    job: OpenDataset,
    recipe: Recipe,
    path: Path,
    data_set: Dataset,
    plugins: Registry,
    *,
    images: Path | None,
    same_data: bool,
    listener: Listener,
) -> OpenDataset:
    """Return the job with the recipe's answers; `images` is where its unlabelled images are now.

    Raises RecipeError where the answers are not beside the recipe, or these are not the data that they belong to.
    """
    use = recipe.teacher
    assert use is not None
    if not same_data:
        raise RecipeError(
            "teacher: the recipe learned from answers on its own images, so it cannot be applied to others.",
            hint="Train a run on the other images, then `tl-advise distill` that run.",
        )
    job = replace(job, answers=str(find(path, use)))
    if use.unlabelled is None or images is None:
        return job
    backbone = plugins.backbone(recipe.backbone.name)
    preprocess = replace(backbone.preprocess, value_range=data_set.value_range)
    rule = pixels.rule_for(preprocess, recipe.input.size_px, recipe.input.fit)
    target = unlabelled.read(images, data_set, rule, listener)
    digest = target.fingerprint
    if digest != use.unlabelled.fingerprint:
        raise RecipeError(
            f"teacher.unlabelled.fingerprint: {images} has changed since the recipe was made ({digest[:12]} instead of "
            f"{use.unlabelled.fingerprint[:12]}).",
            hint=f"Give the folder with the same images: {unlabelled.OPTION} DIR.",
        )
    return replace(job, target_root=target.root, target_items=target.items)


def find(path: Path, use: TeacherUse) -> Path:
    """Return the file of answers beside the recipe at `path`. Raises RecipeError where it is not the recipe's."""
    file = (path if path.is_dir() else path.parent) / use.file
    if not file.is_file():
        raise RecipeError(
            f"teacher.file: {file} does not exist.", hint="Copy it from the run, beside the recipe, and try again."
        )
    digest = soft_answers.sha256(file)
    if digest != use.file_sha256:
        raise RecipeError(
            f"teacher.file_sha256: the recipe was made with {use.file_sha256[:12]}, {file} is {digest[:12]}.",
            hint="Copy the file from the run again.",
        )
    return file


def copy(path: Path, recipe: Recipe, folder: Path) -> None:
    """Copy the answers of a recipe at `path` into the folder of its rerun."""
    if recipe.teacher is not None:
        shutil.copyfile(find(path, recipe.teacher), folder / recipe.teacher.file)
