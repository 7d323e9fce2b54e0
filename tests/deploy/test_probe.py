"""The containers' health check against a real server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lifemask.cli.ports import choose_ports
from lifemask.runtime.probe import main


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"asked for {self.path}".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (404, 1)])
def test_only_200_is_healthy(status: int, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(status) as port:
        assert main([str(port)]) == code
    assert capsys.readouterr().out == "asked for /readyz\n"


def test_port_and_path_come_from_the_settings_of_the_container(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(200) as port:
        monkeypatch.setenv("LIFEMASK_PORT", str(port))
        assert main([]) == 0
        assert main([str(port), "/healthz"]) == 0
    assert capsys.readouterr().out == "asked for /readyz\nasked for /healthz\n"


def test_nobody_there_is_not_healthy(tmp_path_factory: pytest.TempPathFactory) -> None:
    free = choose_ports(["nobody"], tmp_path_factory.mktemp("ports"))["nobody"]
    assert main([str(free)]) == 1
