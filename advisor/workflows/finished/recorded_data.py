"""The data of a recipe, read again as they were read for it: where they are, how, and whether they are the same.

In: a recipe and its location. Out: paths and data sets. Does NOT cover: unlabelled images, retraining (`rerun`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from advisor.data import dataset, profile
from advisor.data.remote import urls
from advisor.data.similarity import joining
from advisor.data.similarity.joined_data import Join
from advisor.data.tables import corrections
from advisor.errors import RecipeError
from advisor.records import Dataset, DuplicateGroup, Profile
from advisor.records.data import ReadOptions
from advisor.records.recipe import Recipe
from advisor.runtime import cache


def recorded_test_split(recipe: Recipe) -> str:
    """Return "none" where the recipe held out no test set, else "auto"."""
    return "none" if recipe.data.split.rule == "none" else "auto"


def recorded_reading(recipe: Recipe) -> ReadOptions:
    """Return how the recipe read its data; older recipes added a given validation set to the training images."""
    return recipe.data.reading or ReadOptions(val="pool")


def join_as_recorded(recipe: Recipe) -> Join:
    """Return what joins the images that the recipe lists, or those found now where the data are not the recipe's."""

    def join(data_set: Dataset, similar: Sequence[DuplicateGroup]) -> Dataset:
        if data_set.fingerprint != recipe.data.fingerprint:
            return joining.join(data_set, similar)
        # The recipe's own groups, none in older recipes: what a newer release finds would be another split.
        return joining.rejoin(data_set, recipe.data.joined)

    return join


def read_data(
    recipe: Recipe,
    path: Path,
    folder: Path,
    reading: ReadOptions | None,
    relabel: Path | None,
    *,
    is_given: bool,
    offline: bool = False,
) -> tuple[Dataset, Profile, bool]:
    """Read a recipe's data set as it was read before; also return its profile, and whether it is the same.

    With `offline`, the copy of a URL that was fetched last is read. Raises RecipeError where the data differ from the
    recipe's and the folder was not named on purpose (`is_given`).
    """
    options = reading or recorded_reading(recipe)
    data_set = dataset.read(folder, test_split=recorded_test_split(recipe), options=options, offline=offline)
    profile.check_learnable(data_set)
    same_data = data_set.fingerprint == recipe.data.fingerprint
    if not same_data and not is_given:
        raise RecipeError(
            f"data.fingerprint: {urls.public(folder)} has changed since the recipe was made "
            f"({data_set.fingerprint[:12]} instead of {recipe.data.fingerprint[:12]}).",
            hint=f"To use the changed data, pass --data {urls.public(folder)}.",
        )
    decoded = profile.decode(data_set, store=cache.Store(), join=join_as_recorded(recipe))
    data_set = corrections.for_recipe(decoded.dataset, recipe, path, relabel)
    measured = profile.measure(data_set, similar=decoded.similar)
    if recipe.data.leaks_removed:
        data_set = profile.without_leaks(data_set, measured)
    profile.check_learnable(data_set)
    return data_set, measured, same_data


def by_hint(hint: str, path: Path, field: str, option: str) -> Path:
    """Find the folder or file that a recipe at `path` names: in the current directory, or beside the run directory.

    A relative hint is resolved against the current directory, the recipe's folder and up to three folders above it, the
    first existing one wins. Raises RecipeError, naming all of them, if none exists.
    """
    if urls.is_url(hint):
        return Path(hint)
    tried = urls.near_run(hint, path if path.is_dir() else path.parent)
    for location in tried:
        if location.exists():
            return location
    raise RecipeError(
        f"{field}: {hint} does not exist here, nor beside {path} (searched {', '.join(str(t) for t in tried)}).",
        hint=f"Give its location: {option} PATH.",
    )
