"""doctor looks at everything, never raises, and says what to do about what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributions import install

from advisor.workflows import doctor


def _find(findings: tuple[doctor.Finding, ...], check: str) -> doctor.Finding:
    return next(f for f in findings if f.check == check)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any cached weights."""
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path


def test_every_check_answers(bare: Path) -> None:
    """One finding a check, in order; whatever is not good comes with words about what to do."""
    findings = doctor.examine(offline=True)
    assert [f.check for f in findings] == [name for name, _ in doctor.CHECKS]
    assert {f.state for f in findings} <= {"good", "warning", "problem"}
    assert all(f.found for f in findings)
    assert all(f.advice for f in findings if f.state != "good")
    assert _find(findings, "torch").state == "good"
    assert _find(findings, "libraries").state == "good"


@pytest.mark.parametrize(
    ("torch", "torchvision", "compiled", "message"),
    [
        ("2.7.1+cu126", "0.22.1+cpu", True, "built for different platforms (cu126, cpu)"),
        ("2.7.1", "0.22.1", False, "compiled part does not load"),
    ],
)
def test_mismatched_torch_and_torchvision(torch: str, torchvision: str, compiled: bool, message: str) -> None:
    """Builds for different devices, and a compiled part that does not load, are told."""
    assert message in doctor.torch_pair(torch, torchvision, compiled=compiled)


def test_a_pair_of_other_versions_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's own metadata says which torch it was made for."""
    install(tmp_path, "torchvision", {}, version="0.1.9")
    (tmp_path / "torchvision-0.1.9.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.1.9\nRequires-Dist: torch (==1.1.0)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert doctor.torch_pair("2.7.1", "0.1.9", compiled=True) == "this torchvision needs torch==1.1.0"


def test_a_broken_plugin_is_a_warning_with_a_way_out(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named with its package and its reason, and how to leave it out."""
    install(tmp_path / "site", "stranger", {"strange": "strange_module"}, {"strange_module": "import nothing_like_it"})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    finding = _find(doctor.examine(offline=True), "plugins")
    assert finding.state == "warning"
    assert "strange (stranger 1.0): cannot be imported" in finding.found
    assert "TL_ADVISE_PLUGINS=-strange" in finding.advice


def test_no_plugins_at_all_is_a_problem(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without strategies nothing can be advised."""
    monkeypatch.setenv("TL_ADVISE_PLUGINS", "torchvision")
    finding = _find(doctor.examine(offline=True), "plugins")
    assert finding.state == "problem"
    assert "0 strategies" in finding.found


def test_weights_of_another_size_than_published_are_told(bare: Path, tmp_path: Path) -> None:
    """A cached file that cannot be the published one is named, with the command that brings that."""
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "resnet18-f37072fd.pth").write_bytes(b"short")
    finding = _find(doctor.examine(weights_dir=str(tmp_path / "w"), offline=True), "weights")
    assert finding.state == "warning"
    assert "not the published size: resnet18" in finding.found
    assert "tl-advise weights fetch resnet18 --again" in finding.advice


def test_no_weights_at_all_are_a_problem(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that would get some is named."""
    monkeypatch.setenv("TL_ADVISE_PLUGINS", "torchvision,strategies")
    finding = _find(doctor.examine(offline=True), "weights")
    assert finding.state == "problem"
    assert "tl-advise weights fetch" in finding.advice


def test_a_check_that_raises_is_a_finding(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be looked at is told, and the other checks still run."""
    monkeypatch.setenv("TL_ADVISE_PLUGINS", "nothing-of-this-name")
    findings = doctor.examine(offline=True)
    finding = _find(findings, "plugins")
    assert finding.state == "problem"
    assert "the check failed: PluginError" in finding.found
    assert _find(findings, "disk").check == "disk"


@pytest.mark.parametrize(("text", "expected"), [("150000 100000", 1.5), ("max 100000", None), ("?", None)])
def test_a_containers_share_of_the_processor(tmp_path: Path, text: str, expected: float | None) -> None:
    """The share that a container may use is read where the system states one."""
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert doctor.quota(str(tmp_path / "cpu.max")) == expected
    assert doctor.quota(str(tmp_path / "absent")) is None


def test_fewer_threads_by_environment_are_a_warning(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OMP_NUM_THREADS below the number of cores is told, where there is more than one core."""
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert _find(doctor.examine(offline=True), "threads").state == "warning"
