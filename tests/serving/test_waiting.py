"""What waits in the server is bounded: requests beyond the limit are refused before their images are decoded."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import runs
from PIL import Image

httpx = pytest.importorskip("httpx", reason="the serve extra is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the serve extra is not installed")
pytest.importorskip("fastapi", reason="the serve extra is not installed")

from advisor import registry  # noqa: E402
from advisor.models import predictor as predictors  # noqa: E402
from advisor.serving import app as application  # noqa: E402
from advisor.serving import server as sockets  # noqa: E402
from advisor.serving.limits import ServerLimits  # noqa: E402


def test_images_that_wait_for_a_decoder_count_as_waiting(tmp_path: Path) -> None:
    """More clients than images may wait: some are answered, the others get 503 and may come again, then all is well."""
    run = runs.make(tmp_path, "pocket")
    out = io.BytesIO()
    Image.new("RGB", (5000, 4000), (90, 120, 150)).save(out, format="PNG")  # few bytes, slow to decode
    photo = next((run.parent / "data").rglob("*.jpg"))
    limits = ServerLimits(waiting_images=3)
    app = application.create(predictors.load(run, registry.load()), run, limits=limits, decoders=1)
    bound = sockets.bind("127.0.0.1", 0)
    served = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=served.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with httpx.Client(transport=httpx.HTTPTransport(retries=20), timeout=60) as client:
            assert client.get(f"{url}/health").status_code == 200
            with ThreadPoolExecutor(12) as clients:
                send = partial(httpx.post, content=out.getvalue(), timeout=60)
                replies = list(clients.map(send, [f"{url}/predict"] * 12))
            refused = [reply for reply in replies if reply.status_code == 503]
            assert 1 <= len(refused) <= 9
            assert {reply.status_code for reply in replies} == {200, 503}
            assert all("waiting already" in reply.json()["error"] and reply.headers["retry-after"] for reply in refused)
            assert client.get(f"{url}/health").json()["waiting"] == 0
            assert client.post(f"{url}/predict", content=photo.read_bytes()).status_code == 200
    finally:
        served.should_exit = True
        thread.join(30)
