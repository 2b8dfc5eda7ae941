"""A server beside damaged files of its run, and images in formats that an extra reads."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import runs

httpx = pytest.importorskip("httpx", reason="the serve extra is not installed")
testclient = pytest.importorskip("fastapi.testclient", reason="the serve extra is not installed")

from advisor import registry  # noqa: E402
from advisor.models import predictor as predictors  # noqa: E402
from advisor.serving import app as application  # noqa: E402
from advisor.serving.limits import ServerLimits  # noqa: E402


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a small network."""
    return runs.make(tmp_path_factory.mktemp("serve"), "pocket")


@pytest.fixture(name="client")
def _client(run: Path) -> Iterator[object]:
    """A client of the application, without a socket."""
    predictor = predictors.load(run, registry.load())
    with testclient.TestClient(application.create(predictor, run, limits=ServerLimits())) as client:
        yield client


@pytest.mark.parametrize("content", ["{", "[]", '{"validation": NaN}', '{"a": "\\udce9"}'])
def test_a_damaged_result_costs_its_scores_only(run: Path, tmp_path: Path, content: str) -> None:
    """GET /model answers with the classes whatever result.json holds; the report may hold odd bytes."""
    copied = shutil.copytree(run, tmp_path / "run")
    (copied / "result.json").write_text(content, encoding="utf-8")
    (copied / "report.html").write_bytes(b"<p>caf\xe9</p>")
    with testclient.TestClient(application.create(predictors.load(run, registry.load()), copied)) as asked:
        card = asked.get("/model").json()
        assert card["classes"] == list(runs.CLASSES)
        assert ("damaged" in str(card["warnings"])) == ("udce9" not in content)
        assert asked.get("/report").status_code == 200


def test_formats_that_an_extra_reads_are_answered(client) -> None:
    """DICOM, as `predict` reads it, is an image here too; one beyond the bound of pixels is refused by its header."""
    pydicom = pytest.importorskip("pydicom", reason="the dicom extra is not installed")
    from pydicom.data import get_testdata_file

    record = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    out = io.BytesIO()
    record.save_as(out)
    assert client.post("/predict", content=out.getvalue()).status_code == 200
    record.Rows, record.Columns = 40_000, 40_000
    out = io.BytesIO()
    record.save_as(out)
    refused = client.post("/predict", content=out.getvalue())
    assert refused.status_code == 413
    assert "pixels" in refused.json()["error"]


def test_a_number_that_is_none_is_a_call_at_fault(client) -> None:
    """`top` in words has the form of every other refusal."""
    refused = client.post("/predict?top=all", content=b"x")
    assert (refused.status_code, refused.json()) == (400, {"error": "top: expected a whole number."})
