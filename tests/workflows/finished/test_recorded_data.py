"""Where a rerun looks for the data of its recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
import sample_recipe

from advisor.errors import InputError, RecipeError
from advisor.workflows.finished import recorded_data


def test_a_relative_path_is_looked_for_beside_the_run_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another folder, data that lie where the run was made are found; data in the current folder come first."""
    run = tmp_path / "work" / "tl-advise-runs" / "photos-1"
    (tmp_path / "elsewhere").mkdir()
    run.mkdir(parents=True)
    (tmp_path / "work" / "photos").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for path in (run, run / "recipe.yaml"):
        path.touch()
        assert recorded_data.by_hint("photos", path, "data.path_hint", "--data") == tmp_path / "work" / "photos"
    (tmp_path / "elsewhere" / "photos").mkdir()
    assert recorded_data.by_hint("photos", run, "data.path_hint", "--data") == Path("photos")


def test_offline_data_by_url_are_the_copy_that_was_fetched_before(tmp_path: Path) -> None:
    """Without such a copy nothing is asked of the network."""
    url = Path("https://127.0.0.1:9/photos.zip")
    with pytest.raises(InputError, match="was not fetched before"):
        recorded_data.read_data(sample_recipe.example(), tmp_path, url, None, None, is_given=True, offline=True)


@pytest.mark.parametrize("hint", ["photos", "/no/such/photos"])
def test_data_that_are_nowhere_are_an_error_that_says_where_was_searched(tmp_path: Path, hint: str) -> None:
    """The error names the field, every place, and the option."""
    with pytest.raises(RecipeError, match=r"data.path_hint: .*photos does not exist") as error:
        recorded_data.by_hint(hint, tmp_path / "recipe.yaml", "data.path_hint", "--data")
    assert "--data PATH" in error.value.hint
    assert (str(tmp_path / "photos") in str(error.value)) == (hint == "photos")
