"""The model card: a head that hubs read, scores with intervals, and names that cannot become markup."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import results
import yaml
from goldens import golden
from sample_recipe import example

from advisor import records
from advisor.reporting import model_card

GOLDEN = Path(__file__).parents[1] / "golden"


def head(text: str) -> dict[str, object]:
    """The YAML between the first two lines of dashes, read by an ordinary reader."""
    opening, fields, _ = text.split("---\n", 2)
    assert opening == ""
    read = yaml.safe_load(fields)
    assert isinstance(read, dict)
    return read


def test_the_head_is_what_hubs_read() -> None:
    """Task, library, licence and the test score stand in the YAML head; no test score, no entry in the index."""
    fields = head(model_card.render(results.final(), example(), licence="BSD-3-Clause"))
    assert fields["pipeline_tag"] == "image-classification"
    assert fields["license_name"] == "BSD-3-Clause"
    index = fields["model-index"]
    assert isinstance(index, list)
    metric = index[0]["results"][0]["metrics"][0]
    assert (metric["type"], metric["value"]) == ("accuracy", 0.9)
    assert set(index[0]["results"][0]) == {"task", "dataset", "metrics"}
    assert "model-index" not in head(model_card.render(results.provisional(), example()))


def test_names_are_escaped_once() -> None:
    """A class that looks like Markdown reads as it is written, in the warning about small classes too."""
    result, name = results.final(), "a|b `c` *d* <e> ~f~ $1"
    assert result.test is not None
    small = {**result.test.per_class, name: records.ClassScore(recall=None, precision=None, n=2)}
    result = dataclasses.replace(result, test=dataclasses.replace(result.test, per_class=small))
    text = model_card.render(result, example(), run="runs/*a*")
    safe = r"a|b \`c\` \*d\* &lt;e&gt; \~f\~ \$1"
    assert f"these classes are uncertain: {safe}." in text
    assert f"| {safe.replace('|', chr(92) + '|')} |" in text
    assert "\n'runs/\\*a\\*' is the run directory." in text


def test_the_card_says_what_a_reader_must_know() -> None:
    """Scores with intervals and per class, calibration, warnings, small classes, licence, how to rerun."""
    result = results.final()
    assert result.test is not None
    small = {**result.test.per_class, "moth": records.ClassScore(recall=None, precision=None, n=2)}
    result = dataclasses.replace(result, test=dataclasses.replace(result.test, per_class=small))
    text = model_card.render(result, example(), licence="BSD-3-Clause")
    for words in (
        "90.0 % of 60 test images are right (95 % interval 82.4 to 97.6 %)",
        "| ants | 100.0 % | 78.9 % | 15 |",
        "| moth | – | – | 2 |",
        "so the scores of these classes are uncertain: moth.",
        "| calibration error (average gap between confidence and accuracy) | 3.2 % |",
        "The class ants has 3 test images",
        "| licence of the pretrained weights | BSD-3-Clause |",
        "tl-advise rerun RUN --verify",
    ):
        assert words in text


def test_the_share_of_the_test_set_is_the_one_held_out() -> None:
    """Where classes have few images, one of each is more than the fifth that is aimed at."""
    recipe = example()
    cut = dataclasses.replace(recipe.data.split, rule="cut", fraction=0.2)
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, split=cut))
    assert "The test set is 38 % of the images" in model_card.render(results.final(), recipe, licence="")


def test_names_stay_names() -> None:
    """A class called like markup, or with a line break, is shown as it is called."""
    recipe = example()
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, classes=("<b>*x*\n# y", "a|b\udce9")))
    text = model_card.render(results.final(), recipe)
    assert "&lt;b&gt;\\*x\\* \\# y" in text
    text.encode("utf-8")


def test_the_card_is_as_agreed() -> None:
    """What a person reads changes only on purpose."""
    golden(GOLDEN / "card.md", model_card.render(results.final(), example(), licence="BSD-3-Clause"))
    golden(GOLDEN / "card-provisional.md", model_card.render(results.provisional(), example()))


def test_what_is_not_there_is_not_described() -> None:
    """Without a test set no decision "used" it; one thread and one image are singular."""
    recipe = example()
    split = dataclasses.replace(recipe.data.split, rule="none", fraction=0.0, test=0)
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, split=split))
    done = results.final()
    assert done.test is not None
    done = dataclasses.replace(done, environment=dataclasses.replace(done.environment, threads=1))
    assert "There is no test set." in model_card.render(dataclasses.replace(done, test=None), recipe)
    text = model_card.render(dataclasses.replace(done, test=dataclasses.replace(done.test, n=1)), example())
    assert "of 1 test image is right" in text
    assert "accuracy on the test set, 1 image |" in text
    assert "1 thread |" in text
