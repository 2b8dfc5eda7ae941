"""The Python interface does what the command line can, shows itself well, and every example of it runs."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import os
import re
import threading
from pathlib import Path

import click
import commands
import numpy as np
import photographs
import pytest
from photos import write_crops
from PIL import Image

import advisor
from advisor.cli import advise as command
from advisor.errors import AdviseError, DatasetError, InputError
from advisor.records import Settings
from advisor.records.data import ReadOptions
from advisor.reporting.notebook import ShownResult

SMALL = {"backbone": "pocket", "size": 32, "threads": 1, "offline": True}


@pytest.fixture(scope="module", name="data")
def _data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real photos cut into two classes."""
    folder = tmp_path_factory.mktemp("python") / "photos"
    write_crops(folder, classes=2, each=12)
    return folder


@pytest.fixture(scope="module", name="run")
def _run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ShownResult, list[str]]:
    """One small run from a thread inside a running event loop, with its progress."""
    folder = tmp_path_factory.mktemp("run") / "run1"
    seen: list[str] = []
    returned: list[object] = []

    def work() -> None:
        returned.append(
            advisor.advise(
                data, trials=1, out=folder, backbones=["pocket"], strategies=["ridge"], size=32, threads=1, offline=True,
                progress=lambda what, done, total: seen.append(what),
            )
        )  # fmt: skip

    async def main() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.05)

    asyncio.run(main())
    return folder, returned[0], seen  # type: ignore[return-value]


def test_only_public_names_are_listed() -> None:
    """dir(advisor) holds what is documented and nothing else; every function has types and a docstring."""
    assert set(dir(advisor)) == {*advisor.__all__, "__doc__", "__version__"}
    for name in advisor.__all__:
        function = getattr(advisor, name)
        assert function.__doc__
        assert "return" in function.__annotations__


def test_advise_has_every_option_of_the_command() -> None:
    """Each option of `tl-advise advise` is an argument under the same name, those of the terminal apart."""
    renamed = {
        "backbones": "backbones",
        "strategies": "strategies",
        "size_px": "size",
        "devices": "gpus",
        "blocked": "block",
    }
    terminal = {"as_json", "quiet", "verbose", "target", "weights"}  # an adaptation is a workflow of its own
    options = {str(p.name) for p in command.command.params if isinstance(p, click.Option) and p.expose_value}
    arguments = set(inspect.signature(advisor.advise).parameters)
    settings = set(Settings.__dataclass_fields__) | set(ReadOptions.__dataclass_fields__)
    assert not {renamed.get(name, name) for name in options - terminal} - arguments - settings


def test_a_result_shows_itself(run: tuple[Path, object, list[str]]) -> None:
    """Its text is one line, its notebook display the first card, and the same result is read from the directory."""
    folder, result, seen = run
    again = advisor.load_result(folder)
    assert repr(again) == repr(result)
    assert len(repr(again)) < 400
    assert "\n" not in repr(again)
    card = again._repr_html_()
    assert "What to do next" in card
    assert "<script" not in card
    assert len(card) < 40_000
    assert again.verdict in card
    assert any("evaluating" in what for what in seen)


def test_a_predictor_takes_images_in_every_form(run: tuple[Path, object, list[str]], data: Path) -> None:
    """Paths, folders, arrays, PIL images, file objects and bytes of the same image get the same probabilities."""
    predictor = advisor.load(run[0])
    path = sorted(data.rglob("*.jpg"))[0]
    picture = Image.open(path).convert("RGB")
    forms = [path, picture, np.asarray(picture), io.BytesIO(path.read_bytes()), path.read_bytes()]
    answers = [predictor.predict([form]).probabilities[0] for form in forms]
    assert all(np.allclose(each, answers[0], atol=1e-6) for each in answers)
    assert np.allclose(predictor.predict(picture).probabilities[0], answers[0], atol=1e-6)
    whole = predictor.predict(data, batch_size=5)
    assert len(whole.paths) == 24
    assert np.allclose(whole.probabilities[whole.paths.index(str(path))], answers[0], atol=1e-5)
    assert repr(whole) == "Predictions(24 images, 2 classes)"
    assert repr(predictor) == "Predictor(pocket at 32 px, 2 classes)"


def test_the_side_workflows_run(run: tuple[Path, object, list[str]], data: Path, tmp_path: Path) -> None:
    """Export, rerun, evaluation, compare, few-shot and the rate finder return records, each shown in one short line."""
    exported = advisor.export(run[0], format="safetensors", out=tmp_path / "e")
    assert exported.parity.n > 0
    rerun = advisor.rerun(run[0], offline=True)
    assert rerun.identical
    evaluation = advisor.evaluate(run[0], data)
    compared = advisor.compare(data, ["full"], epochs=0.1, **SMALL)
    assert len(compared.arms) == 1
    few = advisor.fewshot(data, ["prototypes"], ways=2, shots=1, queries=2, episodes=3, **SMALL)
    assert 0 <= few.scores[0].accuracy <= 1
    sweep = advisor.lr_find(data, strategy="partial", steps=12, **SMALL)
    assert 8 <= len(sweep.rates) <= 12  # it may diverge
    long = len(str(tmp_path)) + len(str(data)) + len(str(run[0]))
    for record in (exported, rerun, evaluation, compared, few, sweep):
        assert len(repr(record)) < 120 + long
        assert "\n" not in repr(record)
    assert advisor.weights(offline=True)["pocket"].state == "built_in"


def test_wrong_calls_are_one_line(data: Path) -> None:
    """An unknown option, a missing folder and a run without a result raise errors that say what to do."""
    with pytest.raises(InputError, match="no option 'budgets'"):
        advisor.advise(data, budgets="3m")
    with pytest.raises(InputError, match="seed -1: expected 0 to"):
        advisor.advise(data, seed=-1)
    with pytest.raises(AdviseError, match="no such folder or file"):
        advisor.compare("gone")
    with pytest.raises(InputError, match="no option 'colour'"):
        advisor.lr_find(data, colour="red")
    with pytest.raises(InputError, match=r"there is no result\.json"):
        advisor.load_result(data)
    with pytest.raises(InputError, match=r"export\(\) has no option 'size'"):
        advisor.export("run", size=3)
    for call in (advisor.compare, advisor.fewshot, advisor.lr_find, advisor.export, advisor.distill):
        with pytest.raises(InputError, match="expected a path"):
            call(b"run")
        with pytest.raises(InputError, match="progress: expected a function"):
            call(data, progress=3)
    with pytest.raises(InputError, match='no plugin named "nope"'):
        advisor.rerun("run", block="nope")
    with pytest.raises(InputError, match="seeds: expected at least 1"):
        advisor.rerun("run", seeds=0)
    with pytest.raises(InputError, match="count: expected at least 1"):
        advisor.label_next("run", data, count=0)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({"budget": 0}, "budget: expected more than 0, got 0"),
        ({"budget": -3.0}, "budget: expected more than 0"),
        ({"budget": float("nan")}, "budget: expected a number, got nan"),
        ({"budget": [60]}, r"budget: expected a number, got \[60\]"),
        ({"trials": 0}, "trials: expected more than 0"),
        ({"trials": "3"}, "trials: expected a whole number, got '3'"),
        ({"seed": 1.5}, "seed: expected a whole number, got 1.5"),
        ({"size": "64"}, "size: expected a whole number, got '64'"),
        ({"size": 8}, "size 8: expected 16 to 2048 pixels"),
        ({"budget": True}, "budget: expected a number, got True"),
        ({"gpus": "2"}, "gpus: expected a whole number, got '2'"),
        ({"threads": 0}, "threads: expected more than 0"),
        ({"objective": None}, "objective: expected text, got None"),
        ({"backbones": [3]}, "backbones: expected a list of names"),
        ({"max_ms": "5"}, "max_ms: expected a number, got '5'"),
        ({"offline": "no"}, "offline: expected True or False, got 'no'"),
        ({"block": ["nope"]}, 'no plugin named "nope" is installed'),
        ({"study": "team"}, "study 'team': needs a database"),
        ({"progress": "bar"}, "progress: expected a function"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_at_once(
    data: Path, tmp_path: Path, option: dict[str, object], expected: str
) -> None:
    """Before anything is read or trained, with the argument's own name."""
    with pytest.raises(InputError, match=expected):
        advisor.advise(data, out=tmp_path / "run", **option)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_one_name_need_not_stand_in_a_list(data: Path, tmp_path: Path) -> None:
    """A single string is one name, not its letters; NumPy's numbers are numbers."""
    options = {"out": tmp_path / "run", "offline": True, "trials": np.int64(1), "seed": np.int64(3)}
    with pytest.raises(AdviseError, match='"nope"'):
        advisor.advise(data, backbones="nope", **options)  # type: ignore[arg-type]
    with pytest.raises(AdviseError, match='"nope"'):
        advisor.fewshot(data, "nope", **SMALL)  # type: ignore[arg-type]
    with pytest.raises(AdviseError, match="--log nope"):
        advisor.advise(data, log="nope", **options)  # type: ignore[arg-type]
    with pytest.raises(AdviseError, match="class"):  # one class is left
        advisor.inspect(data, exclude="class 1")


def test_a_model_is_only_loaded_from_where_it_was_named(
    run: tuple[Path, object, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that does not exist is named in the error, and the model of the folder above is not taken for it."""
    with pytest.raises(InputError, match="recipe without unlabelled images"):
        advisor.rerun(run[0], target="anywhere")
    monkeypatch.chdir(run[0])
    for wrong in (run[0] / "ensembel", "nowhere"):
        with pytest.raises(InputError, match=f"{Path(wrong).name} holds no"):
            advisor.load(wrong)
    assert advisor.load(run[0] / "recipe.yaml").classes == advisor.load(str(run[0])).classes


def test_the_examples_run(
    run: tuple[Path, object, list[str]], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines in the package's docstring work as they are written, with a small budget in place of theirs."""
    lines = [line.strip() for line in re.findall(r"^    (.+?)\s*(?:#.*)?$", advisor.__doc__ or "", flags=re.M)]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(data)
    (tmp_path / "new.jpg").write_bytes(sorted(data.rglob("*.jpg"))[0].read_bytes())
    small = 'trials=1, backbones=["pocket"], strategies=["ridge"], size=32, threads=1, offline=True'
    code = "\n".join(line.replace('budget="3m"', small) for line in lines)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["predictions"].labels[0] in ("class 0", "class 1")  # type: ignore[attr-defined]
    assert names["rerun"].identical  # type: ignore[attr-defined]


def test_inspect_takes_the_reading_options(data: Path, tmp_path: Path) -> None:
    """Columns and layouts are named as on the command line; an unknown name is one line."""
    files = sorted(data.rglob("*.jpg"))
    lines = [f"{file};{file.parent.name};{file.stem}" for file in files]
    (tmp_path / "odd.csv").write_text("\n".join(["where;kind;number", *lines]))
    profile = advisor.inspect(tmp_path / "odd.csv", path_column="where", label_column="kind", root=str(data))
    assert profile.images == len(files)
    assert profile.fingerprint
    with pytest.raises(InputError, match="no option 'labels_column'"):
        advisor.inspect(data, labels_column="kind")


def test_the_side_workflows_take_the_reading_options(data: Path, tmp_path: Path) -> None:
    """A table with unusual columns is swept by the command and by the function as the plain folder is."""
    files = sorted(data.rglob("*.jpg"))
    rows = "".join(f"{file},{file.parent.name},{n}\n" for n, file in enumerate(files))
    (tmp_path / "table.csv").write_text("photo,what,n\n" + rows)
    reading = {"label_column": "what", "root": str(data)}
    sweep = advisor.lr_find(tmp_path / "table.csv", strategy="partial", steps=12, **reading, **SMALL)
    assert sweep.rates
    call = [
        "lr-find",
        str(tmp_path / "table.csv"),
        "--label-column",
        "what",
        "--root",
        str(data),
        "--offline",
        "--json",
    ]
    assert json.loads(commands.run(*call, "--strategy", "partial", "--steps", "12", "--backbone", "pocket").stdout)[
        "rates"
    ]
    assert len(repr(advisor.inspect(data))) < 200


def test_the_bound_of_pixels_of_a_call_is_not_that_of_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`max_pixels` holds for its call, whether it succeeds or fails; what the environment states stays."""
    monkeypatch.delenv("TL_ADVISE_MAX_PIXELS", raising=False)
    data = photographs.folder(tmp_path, {"cat": 4, "dog": 4})
    with pytest.raises(DatasetError, match="decompression bomb"):
        advisor.inspect(data, max_pixels=100)
    assert advisor.inspect(data).images == 8
    monkeypatch.setenv("TL_ADVISE_MAX_PIXELS", "5000")
    assert advisor.inspect(data, max_pixels=10_000).images == 8
    assert os.environ["TL_ADVISE_MAX_PIXELS"] == "5000"


def test_a_deep_inspection_checks_what_is_left(tmp_path: Path) -> None:
    """Where no image of a second class can be decoded, there is nothing to classify, as on the command line."""
    data = photographs.folder(tmp_path, {"cat": 4, "dog": 2})
    for path in (data / "dog").iterdir():
        path.write_bytes(path.read_bytes()[:-400])
    assert advisor.inspect(data).images == 6
    with pytest.raises(DatasetError, match="only one class"):
        advisor.inspect(data, deep=True)
