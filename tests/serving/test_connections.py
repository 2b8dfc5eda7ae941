"""Connections and refusals as clients without manners meet them, against a real server process."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator

import pytest

uvicorn = pytest.importorskip("uvicorn", reason="the serve extra is not installed")
fastapi = pytest.importorskip("fastapi", reason="the serve extra is not installed")

from advisor.errors import InputError  # noqa: E402
from advisor.serving import policy, protocol, server  # noqa: E402


@pytest.fixture(scope="module", name="port")
def _port() -> Iterator[int]:
    """A server on a socket whose clients have half a second for the head of a request."""

    class Quick(protocol.BoundedHeadProtocol):
        head_s = 0.5

    app = fastapi.FastAPI(docs_url=None, redoc_url=None)
    policy.add(app)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    bound = server.bind("127.0.0.1", 0)
    running = uvicorn.Server(uvicorn.Config(app, http=Quick, log_config=None, lifespan="off"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]})
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield bound.getsockname()[1]
    running.should_exit = True
    thread.join(20)


def received_by(connection: socket.socket) -> bytes:
    """Everything that the server sends until it closes the connection."""
    connection.settimeout(10)
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_a_head_that_does_not_end_is_refused(port: int) -> None:
    """A client that sends a byte now and then, for ever, is answered with 408 and closed; so is its second request."""
    for requests_before in (0, 1):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            for _ in range(requests_before):
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
                assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
            connection.sendall(b"GET /health HT")
            received = received_by(connection)
            assert b"HTTP/1.1 408" in received  # behind what is left of the first answer
            assert b"did not arrive within" in received


def test_a_connection_without_a_request_is_closed(port: int) -> None:
    """A connection on which nothing is sent does not stay open, and gets no answer."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        assert received_by(connection) == b""


def test_head_is_answered_like_get_and_refusals_have_one_form(port: int) -> None:
    """HEAD has the status of GET and no body; an unknown address and a wrong method are `error`, as other refusals are."""
    replies = []
    for line in ("HEAD /health", "GET /nothing", "DELETE /health"):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"{line} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
            head, _, body = received_by(connection).partition(b"\r\n\r\n")
            replies.append((int(head.split()[1]), body))
    assert replies[0] == (200, b"")
    assert [status for status, _ in replies] == [200, 404, 405]
    assert all(set(json.loads(body)) == {"error"} for _, body in replies[1:])


def test_every_line_of_the_log_is_json(capfd: pytest.CaptureFixture[str]) -> None:
    """What the HTTP server and the parser of forms say is a JSON object, or nothing, as each request is."""
    names = ("tl_advise.serve", "uvicorn", "python_multipart")
    before = [(logging.getLogger(n), list(logging.getLogger(n).handlers), logging.getLogger(n).level) for n in names]
    try:
        server.log_to_stderr(quiet=False)
        logging.getLogger("tl_advise.serve").info({"path": "/"})
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        logging.getLogger("python_multipart.multipart").warning("Expected boundary character")
        lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    finally:
        for logger, handlers, level in before:
            logger.handlers[:], logger.propagate = handlers, True
            logger.setLevel(level)
    assert [line.get("request") or line["message"] for line in lines] == [
        {"path": "/"},
        "Invalid HTTP request received.",
    ]


def test_a_host_that_is_not_ours_is_not_blamed_on_the_port() -> None:
    """The hint follows the reason; a server that others can reach is known as such."""
    with pytest.raises(InputError) as refused:
        server.bind("192.0.2.1", 0)
    assert "address of this machine" in str(refused.value.hint)
    assert "--port 0" not in str(refused.value.hint)
    for host, is_open in (("127.0.0.1", False), ("0.0.0.0", True)):
        with server.bind(host, 0) as bound:
            assert server.is_open(bound) is is_open
