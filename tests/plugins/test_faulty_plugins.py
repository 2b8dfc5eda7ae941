"""Third-party networks and strategies whose own code fails: left out with the reason, and the run ends well without them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import commands
import faulty_plugins
import pytest
import searches
from photos import write_crops

from advisor import advice
from advisor.errors import BackboneError, Interrupted
from advisor.records import Settings, Trial
from advisor.runtime import clock
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir

OWNER = f"plugin {faulty_plugins.PLUGIN} ({faulty_plugins.DISTRIBUTION})"
BROKE = f"{OWNER} failed: run_stage() raised RuntimeError: it broke"
BAD = {
    "bad_build": "build() raised RuntimeError: it broke",
    "bad_forward": "run_stage() raised RuntimeError: it broke",
    "bad_exit": "run_stage() raised SystemExit: out of order",
    "bad_large": "at 96 px: plugin menagerie (tl-menagerie) failed: run_stage() raised IndexError: no row 81",
    "bad_shape": "stage all pools to (32, 8, 8, 8), expected (N, 8)",
    "bad_double": "stage all pools to (32, 8) torch.float64, expected (N, 8) torch.float32",
    "bad_nan": "features of 20 of 20 images are not finite",
    "bad_rows": "1 rows of features for 20 images",
    "bad_noise": "it evaluates the same images differently each time",
    "bad_batch": "its features of an image depend on the other images of the batch",
    "bad_place": "it changes the images that it is given",
    "bad_weights": "the weights do not fit the network: it broke",
}
BAD_HEADS = {
    "bad_applies": "applies() raised KeyError: 'context'",
    "bad_number": "applies() returned 3, expected None or text",
    "bad_guesses": "first_guesses() returned [], expected a list of parameters",
    "bad_nan_guess": "first_guesses() returned strength=nan, expected a finite number",
    "bad_space": "space() raised ZeroDivisionError: space",
    "bad_draws": "space() raised ArithmeticError: not so strong",
    "bad_plan": "plan() raised LookupError: plan",
    "bad_none": "plan() returned a NoneType, expected a TrainPlan",
    "bad_types": "plan() returned a plan that cannot be written down",
}


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The plugin of `faulty_plugins`, installed."""
    with faulty_plugins.installed(tmp_path_factory.mktemp("site")):
        yield


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Twenty-four crops in two classes."""
    return write_crops(tmp_path / "crops", classes=2, each=12, side_px=48)


def named(option: str, *names: str) -> list[str]:
    """Return the options that choose these."""
    return [word for name in names for word in (option, name)]


def advise(crops: Path, *options: str, code: int = 0) -> tuple[dict[str, Any], str]:
    """Run the command; return its result, if any, and what it wrote on standard error."""
    out = crops.parent / "run"
    call = ["advise", str(crops), "--offline", "--threads", "1", "--out", str(out), *options]
    errors = commands.run(*call, code=code).stderr
    return json.loads((out / "result.json").read_text(encoding="utf-8")) if code == 0 else {}, errors


def reasons(result: dict[str, Any]) -> dict[str, str]:
    """Return the reasons of the networks that were left out."""
    return {row["backbone"]: row["reason"] for row in result["left_out"]}


def test_networks_that_fail_are_left_out_with_their_reasons(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails in them, those that work compete, one without parameters too; a failure at a size costs that size."""
    monkeypatch.setenv("MENAGERIE", " ".join([*BAD, "no_parameters", "good"]))
    networks = named("--backbone", *BAD, "no_parameters", "good")
    result, errors = advise(crops, *networks, "--strategy", "logistic", "--trials", "2")
    left_out = reasons(result)
    assert set(left_out) == set(BAD)
    for name, reason in BAD.items():
        assert reason in left_out[name]
        assert OWNER in left_out[name]
        assert f"{name}{' at 96 px' * (name == 'bad_large')} is left out: " in errors
    assert BROKE[1:] in (crops.parent / "run" / "report.html").read_text(encoding="utf-8")
    probes = json.loads((crops.parent / "run" / "probes.json").read_text(encoding="utf-8"))
    assert {(p["candidate"]["backbone"], p["candidate"]["size_px"]) for p in probes} >= {
        ("no_parameters", 32),
        ("bad_large", 64),
    }


def test_a_network_without_parameters_is_used_to_the_end(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads are fitted on it, nothing of it is trained, and its model predicts."""
    monkeypatch.setenv("MENAGERIE", "no_parameters")
    result, _ = advise(crops, "--backbone", "no_parameters", "--trials", "2")
    assert result["best"]["backbone"] == "no_parameters"
    run, image = crops.parent / "run", next(crops.rglob("*.jpg"))
    assert json.loads(commands.run("predict", str(run), str(image), "--device", "cpu", "--json").stdout)


def test_parameters_of_numpy_are_written_down(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strategy that draws numpy's numbers competes to the end."""
    monkeypatch.setenv("MENAGERIE", "numpy_head good")
    result, _ = advise(crops, "--backbone", "good", "--strategy", "numpy_head", "--trials", "2")
    assert result["best"]["strategy"] == "numpy_head"


@pytest.mark.parametrize("names", [("bad_score", "bad_crash"), ("bad_fifth",)], ids=" ".join)
def test_a_network_that_fails_in_the_end_is_replaced(
    names: tuple[str, ...], crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the test images alone, with its process, or at the fifth pass: the next best is refitted and scored."""
    monkeypatch.setenv("MENAGERIE", " ".join([*names, "weak"]))
    options = ("--strategy", "logistic", "--size", "32", "--trials", "1")
    result, _ = advise(crops, *named("--backbone", *names, "weak"), *options)
    assert (result["status"], result["best"]["backbone"]) == ("final", "weak")
    assert result["test"]["n"] == 4
    assert set(reasons(result)) == set(names)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bad_refit", f"{OWNER} failed: plan() raised LookupError: so many images"),
        ("bad_refit_head", 'unknown head "oracle"'),
    ],
)
def test_a_winner_that_cannot_be_refitted_is_replaced(
    name: str, reason: str, crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its plans are good for the folds of the search alone: the next best wins, and result and report give the reason."""
    monkeypatch.setenv("MENAGERIE", f"{name} poor_head good")
    options = ("--backbone", "good", "--size", "32", "--trials", "1", "--block", "strategies")
    result, errors = advise(crops, *options)
    assert (result["status"], result["best"]["strategy"], result["test"]["n"]) == ("final", "poor_head", 4)
    (said,) = [w for w in result["warnings"] if "cannot win" in w]
    assert said.startswith(f"strategy {name} (")
    assert reason in said
    assert f"note: {said}" in errors
    assert "cannot win: it was not refitted on all images" in (crops.parent / "run" / "report.html").read_text(
        encoding="utf-8"
    )


def test_the_strategy_that_was_asked_for_is_recommended(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However poor it is: the heads that the probes scored are better, but nobody asked for them."""
    monkeypatch.setenv("MENAGERIE", "poor_head")
    options = ("--backbone", "pocket", "--size", "32", "--trials", "1", "--strategy", "poor_head")
    result, errors = advise(crops, *options)
    probes = json.loads((crops.parent / "run" / "probes.json").read_text(encoding="utf-8"))
    assert min(p["scores"][0]["log_loss"] for p in probes) < 0.5
    assert result["best"]["strategy"] == "poor_head"
    assert errors.rpartition("best so far")[0].rpartition("\n")[2].startswith("trial 0")
    assert not [w for w in result["warnings"] if "--strategy" in w]


def test_where_nothing_that_was_asked_for_has_a_result_a_head_is_recommended(
    crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What failed cannot win; a head of the probes is better than nothing, and the result says that it was not asked for."""
    monkeypatch.setenv("MENAGERIE", "bad_refit_head")
    options = ("--backbone", "pocket", "--size", "32", "--trials", "1", "--strategy", "bad_refit_head")
    result, _ = advise(crops, *options)
    assert (result["status"], result["best"]["strategy"] in {"ridge", "logistic"}) == ("final", True)
    assert any(w.startswith("nothing that --strategy or --regime ask for has a result") for w in result["warnings"])


def test_a_network_that_waits_for_ever_is_ended_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first look takes at most a share of the time left: a hard budget is kept, and the search goes on without it."""
    monkeypatch.setenv("MENAGERIE", "bad_hang good")
    with searches.on_crops(tmp_path) as run:
        late = replace(run, clock=clock.Clock(600.0, used_before_s=598.0))
        with pytest.raises(BackboneError, match="did not end within") as caught:
            late.describe(["bad_hang"])
        assert (caught.value.backbone, OWNER in caught.value.reason) == ("bad_hang", True)
        run.describe(["good"])
        assert "good" in run.backbones


def test_what_a_network_sets_for_the_whole_process_is_set_back(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Working directory, dtype, gradients, threads: the others compute, and the run is written, as if it were not there."""
    monkeypatch.setenv("MENAGERIE", "meddler good")
    monkeypatch.chdir(crops.parent)
    networks = named("--backbone", "meddler", "good")
    options = ("--offline", "--threads", "1", "--size", "32", "--strategy", "logistic", "--trials", "1")
    commands.run("advise", crops.name, *networks, *options, "--out", "run")
    result = json.loads(Path("run", "result.json").read_text(encoding="utf-8"))
    assert (result["status"], result["left_out"]) == ("final", [])
    probes = RunDir(Path("run")).read("probes.json", list[Trial]) or []
    losses = {name: [p.loss for p in probes if p.candidate.backbone == name] for name in ("meddler", "good")}
    assert losses["meddler"] == losses["good"] != []


def test_what_a_network_prints_is_no_part_of_an_answer(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--json` stays JSON where a command computes in its own process; the text is on standard error."""
    monkeypatch.setenv("MENAGERIE", "chatty")
    advise(crops, "--backbone", "chatty", "--size", "32", "--strategy", "logistic", "--trials", "1")
    image = str(next(crops.rglob("*.jpg")))
    done = commands.run("predict", str(crops.parent / "run"), image, "--device", "cpu", "--json")
    assert len(json.loads(done.stdout)["predictions"]) == 1
    assert "stage 0" in done.stderr
    checked = commands.run("plugins", "check", "chatty", "--json", code=3)
    assert json.loads(checked.stdout)


def test_where_every_network_fails_one_line_says_so(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the network, its plugin and the first reason; of a single one as of several."""
    monkeypatch.setenv("MENAGERIE", "bad_forward bad_exit")
    _, errors = advise(crops, "--backbone", "bad_forward", "--trials", "1", code=4)
    assert errors.splitlines()[-1].startswith(f"error: network bad_forward: {BROKE}. `tl-advise plugins check bad_forw")
    several = named("--backbone", "bad_forward", "bad_exit")
    _, errors = advise(crops, *several, "--trials", "1", "--out", str(crops.parent / "again"), code=4)
    last = errors.splitlines()[-1]
    assert last.startswith("error: none of the 2 networks can be used; the first, bad_")
    assert OWNER in last


def test_strategies_that_fail_are_left_out_with_their_reasons(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that fail on their first guess never begin, one that fails when it draws ends, and so do single trials."""
    monkeypatch.setenv("MENAGERIE", " ".join([*BAD_HEADS, "bad_samples", "good"]))
    strategies = named("--strategy", *BAD_HEADS, "bad_samples", "ridge")
    result, errors = advise(crops, "--backbone", "good", "--size", "32", *strategies, "--trials", "4")
    for name, reason in BAD_HEADS.items():
        said = [w for w in result["warnings"] if w.startswith(f"strategy {name} is left out: {OWNER} failed: ")]
        assert len(said) == 1
        assert reason in said[0]
    assert f"strategy bad_samples: {OWNER} failed: plan() raised LookupError: not this strength" in errors


def test_a_strategy_that_was_named_and_fails_ends_the_run(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else was asked for: one line names it, its plugin and the reason."""
    monkeypatch.setenv("MENAGERIE", "bad_plan good")
    options = ("--backbone", "good", "--size", "32", "--trials", "1")
    _, errors = advise(crops, *options, "--strategy", "bad_plan", code=2)
    assert errors.splitlines()[-1].endswith(f"bad_plan: {OWNER} failed: plan() raised LookupError: plan.")


def test_another_strategy_stands_in_for_a_default_that_applies_nowhere(
    crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same regime; trial 0 is its first guess."""
    monkeypatch.setenv("MENAGERIE", "bad_plan good")
    strategies = named("--strategy", "bad_plan", "ridge")
    result, _ = advise(crops, "--backbone", "good", "--size", "32", *strategies, "--trials", "1")
    assert result["baseline"]["best"]["strategy"] == "ridge"


def test_a_resumed_run_goes_on_without_them(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left out stays so, and is in the final result."""
    monkeypatch.setenv("MENAGERIE", "bad_forward bad_plan good")

    class Interrupting(Listener):
        def trial(self, trial: Trial, best: Trial | None, left_s: float) -> None:
            if trial.number >= 0:
                raise KeyboardInterrupt

    settings = Settings(
        data=str(crops),
        backbones=("bad_forward", "good"),
        strategies=("bad_plan", "logistic"),
        size_px=32,
        trials=2,
        offline=True,
        threads=1,
    )
    out = crops.parent / "run"
    with pytest.raises(Interrupted):
        advice.advise(settings, out=out, listener=Interrupting())
    result, _ = advice.resume(out)
    assert (result.status, [row.backbone for row in result.left_out]) == ("final", ["bad_forward"])
    assert sum(w.startswith("strategy bad_plan is left out") for w in result.warnings) == 1


def test_other_commands_name_the_network_and_its_plugin(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose network fails later: predict, export and rerun say whose fault it is, in one line; so does check."""
    monkeypatch.setenv("MENAGERIE", "bad_late")
    advise(crops, "--backbone", "bad_late", "--strategy", "logistic", "--trials", "1")
    monkeypatch.setenv("MENAGERIE_FAILS", "1")
    monkeypatch.setenv("TL_ADVISE_CACHE", str(crops.parent / "empty cache"))
    run, image = str(crops.parent / "run"), str(next(crops.rglob("*.jpg")))
    said = f"{OWNER} failed: run_stage() raised RuntimeError: it broke later"
    for call in (["predict", run, image, "--device", "cpu"], ["export", run], ["rerun", run, "--offline"]):
        errors = commands.run(*call, code=4).stderr
        assert said in errors.splitlines()[-1]
        assert "bad_late" in errors.splitlines()[-1]
        assert "Traceback" not in errors
    checked = commands.run("plugins", "check", "bad_late", "--json", code=3).stdout
    assert "RuntimeError: it broke later" in checked
    assert "failed: run_stage()" not in checked
