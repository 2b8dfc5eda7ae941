"""The server as its users meet it: the answers of `predict`, clear refusals, batches across requests, a page in a browser."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import runs
from PIL import Image

httpx = pytest.importorskip("httpx", reason="the serve extra is not installed")
testclient = pytest.importorskip("fastapi.testclient", reason="the serve extra is not installed")

from advisor import cli, registry  # noqa: E402
from advisor.errors import InputError, RequestError  # noqa: E402
from advisor.models import predictor as predictors  # noqa: E402
from advisor.serving import app as application  # noqa: E402
from advisor.serving import body  # noqa: E402
from advisor.serving.batcher import Batcher  # noqa: E402
from advisor.serving.limits import ServerLimits  # noqa: E402


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a small network, and 24 photos beside it."""
    return runs.make(tmp_path_factory.mktemp("serve"), "pocket")


@pytest.fixture(scope="module", name="photos")
def _photos(run: Path) -> list[Path]:
    return sorted((run.parent / "data").rglob("*.jpg"))


@pytest.fixture(name="client")
def _client(run: Path) -> Iterator[object]:
    """A client of the application with small limits, without a socket."""
    predictor = predictors.load(run, registry.load())
    limits = ServerLimits(body_bytes=300_000, images=5, pixels=400_000)
    with testclient.TestClient(application.create(predictor, run, limits=limits)) as client:
        yield client


def jpeg(width: int, height: int) -> bytes:
    """A grey JPEG of this size."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 150)).save(out, format="JPEG")
    return out.getvalue()


def test_the_answer_is_that_of_predict(
    run: Path, photos: list[Path], client, capsys: pytest.CaptureFixture[str]
) -> None:
    """Classes and probabilities equal those of `tl-advise predict --json`, one image a request or several."""
    assert cli.run(["predict", str(run), *map(str, photos[:4]), "--top", "3", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)["predictions"]
    form = [("image", (path.name, path.read_bytes(), "image/jpeg")) for path in photos[:4]]
    several = client.post("/predict?top=3", files=form).json()["predictions"]
    single = [client.post("/predict?top=3", content=path.read_bytes()).json()["predictions"][0] for path in photos[:4]]
    for rows in (several, single):
        for row, reference in zip(rows, expected, strict=True):
            assert set(row) >= set(reference)
            assert row["label"] == reference["label"]
            assert [t["class"] for t in row["top"]] == [t["class"] for t in reference["top"]]
            assert [t["probability"] for t in row["top"]] == pytest.approx(
                [t["probability"] for t in reference["top"]], abs=1e-6
            )


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 400, "no image"),
        (b"hello", 415, "not an image"),
        (b"\xff\xd8\xff\xe0" + b"x" * 500, 415, "not an image"),
        (b"x" * 400_000, 413, "larger than"),
        (jpeg(900, 900), 413, "pixels"),
        (jpeg(64, 64)[:300], 415, "image"),
    ],
    ids=["empty", "text", "broken header", "too many bytes", "too many pixels", "cut off"],
)
def test_what_is_no_image_is_refused_in_one_sentence(client, content: bytes, status: int, words: str) -> None:
    """A refusal has the right status, says why, and leaves the server able to answer."""
    refused = client.post("/predict", content=content)
    assert refused.status_code == status
    assert words in refused.json()["error"]
    assert client.post("/predict", content=jpeg(64, 64)).status_code == 200


def test_a_broken_form_and_too_many_images_are_refused(client) -> None:
    """A form without its boundary, one without files, and one with too many files are calls at fault."""
    assert client.post("/predict", content=b"x", headers={"content-type": "multipart/form-data"}).status_code == 400
    assert client.post("/predict", files={}, data={"a": "b"}).status_code in (400, 415)
    many = [("image", (f"{n}.jpg", jpeg(32, 32), "image/jpeg")) for n in range(6)]
    assert client.post("/predict", files=many).status_code == 400


def test_an_image_unlike_the_training_images_is_unknown(run: Path, photos: list[Path], tmp_path: Path) -> None:
    """Each row states how unlike its image is, as `predict` does; with a rate it is labelled, and the page can say so."""
    copied = shutil.copytree(run, tmp_path / "run")
    runs.add_index(copied, photos)
    model = predictors.load(copied, registry.load())
    form = [("image", ("known.jpg", photos[0].read_bytes())), ("image", ("grey.jpg", jpeg(64, 64)))]
    with testclient.TestClient(application.create(model, copied, abstain=0.05)) as asked:
        familiar, grey = asked.post("/predict", files=form).json()["predictions"]
        assert asked.get("/model").json()["abstain"] == 0.05
    want = model.predict([photos[0].read_bytes(), jpeg(64, 64)], abstain=0.05)
    assert want.unlike is not None
    assert [familiar["unlike"], grey["unlike"]] == pytest.approx(want.unlike.tolist(), abs=0.05)
    assert (familiar["label"], grey["label"]) == want.labels == (familiar["class"], "unknown")
    with pytest.raises(InputError, match="no index"):
        application.create(predictors.load(run, registry.load()), run, abstain=0.05)


def test_one_broken_file_among_others_is_listed(client, photos: list[Path]) -> None:
    """The readable images are answered, the broken one stands under `unreadable` with its reason."""
    form = [("image", ("good.jpg", photos[0].read_bytes())), ("image", ("bad.jpg", b"no image"))]
    reply = client.post("/predict", files=form).json()
    assert [row["path"] for row in reply["predictions"]] == ["good.jpg"]
    assert [row["path"] for row in reply["unreadable"]] == ["bad.jpg"]


def test_health_model_report_and_pages(run: Path, client) -> None:
    """Every other address answers; no page refers to another host."""
    assert client.get("/health").json()["status"] == "ok"
    assert client.get("/model").json()["classes"] == list(runs.CLASSES)
    assert set(client.get("/openapi.json").json()["paths"]) >= {"/predict", "/health", "/model"}
    assert client.get("/report").status_code == (200 if (run / "report.html").exists() else 404)
    for address in ("/", "/docs", "/page.css", "/page.js"):
        page = client.get(address)
        assert page.status_code == 200
        assert "https://" not in page.text
        assert "default-src 'self'" in page.headers["content-security-policy"]


def test_images_that_wait_go_through_the_model_together() -> None:
    """While the model is busy requests gather; each gets its own row, in order; a batch is never larger than asked."""
    busy, gate, sizes = threading.Event(), threading.Event(), []

    def model(squares: np.ndarray) -> np.ndarray:
        busy.set()
        gate.wait(30)
        sizes.append(len(squares))
        return squares[:, 0, 0, :2].astype(float)

    async def ask() -> list[float]:
        async with Batcher(model, most=4, waiting=100) as batcher:
            squares = [np.full((2, 2, 3), n, dtype=np.uint8) for n in range(10)]
            tasks = [asyncio.create_task(batcher.submit([squares[0]]))]
            while not busy.is_set():
                await asyncio.sleep(0.001)
            tasks += [asyncio.create_task(batcher.submit([square])) for square in squares[1:]]
            await asyncio.sleep(0)
            gate.set()
            return [float((await task)[0][0]) for task in tasks]

    assert asyncio.run(ask()) == [float(n) for n in range(10)]
    assert sizes == [1, 4, 4, 1]


def test_a_failing_model_fails_its_batch_alone_and_a_full_queue_refuses() -> None:
    """An error reaches the requests of its batch, the next one is answered; beyond the bound a request gets 503."""
    calls = []

    def model(squares: np.ndarray) -> np.ndarray:
        calls.append(len(squares))
        if len(calls) == 1:
            raise RuntimeError("once")
        return np.ones((len(squares), 2)) / 2

    async def ask() -> None:
        square = np.zeros((2, 2, 3), dtype=np.uint8)
        async with Batcher(model, most=4, waiting=2) as batcher:
            with pytest.raises(RuntimeError, match="once"):
                await batcher.submit([square])
            assert len(await batcher.submit([square])) == 1
            with pytest.raises(RequestError) as refused:
                await batcher.submit([square] * 3)
            assert refused.value.status == 503

    asyncio.run(ask())


@pytest.fixture(scope="module", name="server")
def _server(run: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A real server process on a free port; its address."""
    call = [sys.executable, "-m", "advisor", "serve", str(run), "--port", "0", "--threads", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "http://" in line
    address = line.split(" at ")[1].split()[0]
    transport = httpx.HTTPTransport(retries=20)
    with httpx.Client(transport=transport) as client:
        assert client.get(f"{address}/health", timeout=60).status_code == 200
    yield address, process
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def test_a_single_image_costs_one_pass(run: Path, photos: list[Path]) -> None:
    """The network sees one image, not a batch that is padded to 64."""
    from fastapi.testclient import TestClient

    predictor = predictors.load(run, registry.load())
    seen: list[int] = []
    predictor.classifier.head.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    with TestClient(application.create(predictor, run)) as client:
        for _ in range(2):
            seen.clear()  # the first answer also prepares the network
            assert client.post("/predict", content=photos[0].read_bytes()).status_code == 200
    assert seen == [1]


def test_a_client_that_leaves_in_the_middle_of_a_body_is_refused() -> None:
    """A connection that ends before its body is a request at fault, not an error of the server."""
    from starlette.requests import Request

    messages = [{"type": "http.request", "body": b"abc", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    request = Request({"type": "http", "headers": [(b"content-length", b"1000")]}, receive)
    with pytest.raises(RequestError, match="connection ended") as refused:
        asyncio.run(body.images(request, ServerLimits()))
    assert refused.value.status == 400


def test_a_taken_port_is_one_line(run: Path, server: tuple[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 and the way out, before any model is loaded."""
    port = server[0].rpartition(":")[2]
    assert cli.run(["serve", str(run), "--port", port]) == 2
    assert "--port" in capsys.readouterr().err


def test_the_page_classifies_in_a_real_browser(server: tuple[str, object], photos: list[Path], tmp_path: Path) -> None:
    """Several images and a broken one, chosen on the page: a result with bars for each, a sentence for the broken one."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    driver_path = shutil.which("chromedriver")
    if driver_path is None or shutil.which("chromium") is None:
        pytest.skip("no chromium with chromedriver on this machine")
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    options = selenium.ChromeOptions()
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
    ):
        options.add_argument(flag)
    browser = selenium.Chrome(options=options, service=Service(driver_path))
    try:
        browser.get(server[0])
        browser.find_element(By.ID, "files").send_keys("\n".join(map(str, [photos[0], photos[1], broken])))
        wait = WebDriverWait(browser, 60)
        wait.until(lambda b: len(b.find_elements(By.CSS_SELECTOR, "#results li")) == 3)
        assert len(browser.find_elements(By.CSS_SELECTOR, "#results .bars")) == 2
        assert "not an image" in browser.find_element(By.CSS_SELECTOR, "#results .error").text
        assert "1 of 3" in browser.find_element(By.ID, "status").text
        names = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
        assert all(name.startswith((server[0], "blob:")) for name in names)
    finally:
        browser.quit()
