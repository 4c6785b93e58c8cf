"""The token of deepcell.org: sent only to that host, and in no file that a run leaves.

A proxy of the test stands for the hosts, with HTTPS, like a site's proxy: nothing of the pipeline
is changed except the checksum of the archive, since the real one needs a token.
"""

import base64
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import tarfile
import threading
import urllib.parse
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cellquilt.mesmer import weights

# as long as those of deepcell.org, and other in base64, in an address and in JSON
TOKEN = "q9Zt/cellquilt+secret=42&of%the~test"
API = urllib.parse.urlsplit(weights.DEEPCELL_API).hostname
STORE = "storage.example.org"
OTHER = "elsewhere.example.org"
NOT_COPIED = ["__pycache__", "benchmarks", "containers", "docs", "kernels", "sbom", "tests", "work"]


def forms_of(token: str) -> list[bytes]:
    """Return a token as it is, and as addresses, JSON and base64 have it."""
    raw = token.encode()
    found = [raw, raw[::-1], raw.hex().encode(), urllib.parse.quote(token, safe="").encode()]
    found += [urllib.parse.quote(token).encode(), urllib.parse.quote_plus(token).encode()]
    found += [token.replace("=", "\\u003d").replace("&", "\\u0026").encode()]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):  # wherever in a longer text it starts; the ends differ with it
            found.append(encode(bytes(before) + raw)[4:-4])
    return found


def holding(folder: Path, forms: list[bytes]) -> list[str]:
    """Return the files below a folder that hold any of these, in their names too."""
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        contents = path.read_bytes() if path.is_file() else b""
        if any(form in contents or form in name.encode() for form in forms):
            found.append(name)
    return sorted(found)


class Hosts(ThreadingHTTPServer):
    """A proxy that answers for every host itself, with a certificate for each."""

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        names = ",".join(f"DNS:{name}" for name in (API, STORE, OTHER))
        files = ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem"]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files]
        command += ["-subj", "/CN=test", "-addext", f"subjectAltName={names}"]
        subprocess.run(command, check=True, capture_output=True)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        self.archive = b"an archive"
        self.redirect = False
        self.answers: bytes | None = None  # in place of an address
        self.asked: list[tuple[str, str, bool]] = []
        self.settings = {
            "https_proxy": f"http://127.0.0.1:{self.server_port}",
            "no_proxy": "",
            "SSL_CERT_FILE": str(folder / "certificate.pem"),
            # secrets of the test's own; those of whoever runs it stay as they are
            "NXF_SECRETS_FILE": str(folder / "secrets" / "store.json"),
        }


class Handler(BaseHTTPRequestHandler):
    def do_CONNECT(self):
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.setup_streams()
        self.host = self.path.partition(":")[0]
        self.handle_one_request()

    def setup_streams(self):
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)

    def answer(self, status: int, body: bytes, **headers: str):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def handle_api(self):
        key = self.headers["X-Api-Key"]
        told = f"{self.headers}{self.path}"
        self.server.asked.append((self.host, self.command, TOKEN in told))
        if self.host == STORE:
            return self.answer(200, self.server.archive)
        if self.host == API and self.server.redirect:
            return self.answer(302, b"", Location=f"https://{OTHER}{self.path}")
        if self.server.answers is not None:
            return self.answer(200, self.server.answers)
        if key != TOKEN:
            return self.answer(403, f"API token {key} is not valid".encode())
        address = f"https://{STORE}/MultiplexSegmentation-9.tar.gz"
        self.answer(200, json.dumps({"url": address, "size": "1 MB"}).encode())

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.handle_api()

    def do_GET(self):
        self.handle_api()

    def log_message(self, *_):
        pass


@pytest.fixture
def hosts(tmp_path):
    folder = tmp_path / "hosts"
    folder.mkdir()
    with Hosts(folder) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(scope="module")
def archive(in_deepcell, mesmer_weights, tmp_path_factory) -> bytes:
    """Return Mesmer's network as deepcell.org has it: a Keras SavedModel in a .tar.gz."""
    folder = tmp_path_factory.mktemp("archive")
    save = (
        "import sys, pathlib, cellquilt.mesmer.saved_model as m\n"
        "onnx, out = map(pathlib.Path, sys.argv[1:])\n"
        "m.network_from_onnx(onnx).save(out / 'MultiplexSegmentation', include_optimizer=False)"
    )
    in_deepcell("-c", save, mesmer_weights, folder)
    with tarfile.open(folder / "archive.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(folder / "MultiplexSegmentation", "MultiplexSegmentation")
    return (folder / "archive.tar.gz").read_bytes()


@pytest.fixture
def pipeline(repo, hosts, tmp_path):
    """Return a function that runs the pipeline, and gives what it said.

    All that a run writes is in a folder `run`; the secrets are elsewhere.
    """
    copy, folder = tmp_path / "pipeline", tmp_path / "run"
    # a copy, since it must expect the archive that there is
    folder.mkdir()
    shutil.copytree(repo, copy, ignore=shutil.ignore_patterns(".*", *NOT_COPIED))
    settings = {key: value for key, value in os.environ.items() if key != weights.TOKEN}
    settings |= hosts.settings | {"NXF_ANSI_LOG": "false"}
    program = repo / "tools" / "nextflow"

    def run(*options: str | Path, token: str | None = TOKEN, **env: str) -> str:
        module = copy / "bin" / "cellquilt" / "mesmer" / "weights.py"
        md5 = hashlib.md5(hosts.archive).hexdigest()
        module.write_text(module.read_text().replace(weights.DEEPCELL_MD5, md5))
        where = {"cwd": folder, "env": settings | env, "text": True}
        if token:
            command = [program, "secrets", "set", weights.TOKEN, token]
            subprocess.run(command, check=True, **where, capture_output=True)
            # what the search below would miss is missed here too
            assert holding(Path(settings["NXF_SECRETS_FILE"]).parent, forms_of(token))
        command = [program, "run", copy, "-profile", "local", "--accept_mesmer_license"]
        command += ["--mesmer_source", "deepcell", "--model_cache", folder / "models", *options]
        done = subprocess.run([*command, "-ansi-log", "false"], **where, capture_output=True)
        said = f"{done.stdout}{done.stderr}exit code {done.returncode}"
        assert holding(folder, [b"model.py"]) or "unknown parameter" in said
        return said

    return run


@pytest.fixture(scope="module")
def slide(repo, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("slide")
    command = [sys.executable, repo / "bin" / "generate.py", "--height", "260", "--width", "300"]
    subprocess.run([*command, "--outdir", folder], check=True, capture_output=True)
    return folder / "tissue.ome.tif"


@pytest.mark.slow
def test_a_run_with_a_token_leaves_no_trace_of_it(pipeline, hosts, archive, slide, tmp_path):
    """Not in masks, tables, report, trace, logs, scripts, caches, nor on the screen."""
    hosts.archive = archive
    said = pipeline("--image", slide, "--nuclear", "DAPI", "--membrane", "CD45")
    assert said.endswith("exit code 0"), said
    assert hosts.asked == [(API, "POST", True), (STORE, "GET", False)]
    run = tmp_path / "run"
    assert (run / "results" / "tissue" / "segmentation" / "mesmer-tissue" / "cell.ome.tif").exists()
    (model,) = run.glob("models/*/mesmer.zip")
    card = zipfile.ZipFile(model).read("model.json")
    assert json.loads(card)["weights"] == "MultiplexSegmentation-9.tar.gz"
    everywhere = holding(run, [b""])
    for name in (".nextflow.log", ".nextflow/history", "results/report.html"):
        assert name in everywhere
    assert not [form for form in forms_of(TOKEN) if form in said.encode()]
    assert holding(run, forms_of(TOKEN)) == []


def test_a_refused_token_is_in_no_message_and_no_file(pipeline, hosts, slide, tmp_path):
    """Though the server's answer repeats it, as deepcell.org's does."""
    wrong = TOKEN[::2]
    said = pipeline("--image", slide, "--nuclear", "DAPI", token=wrong)
    assert "deepcell.org refused the weights (HTTP 403): renew the token" in said
    assert said.endswith("exit code 1")
    assert not [form for form in forms_of(wrong) if form in said.encode()]
    assert holding(tmp_path / "run", forms_of(wrong)) == []


def test_a_token_in_the_environment_is_not_taken_nor_kept(pipeline, hosts, slide, tmp_path):
    """It must be a secret, since what Nextflow's environment holds reaches every task."""
    options = ("--image", slide, "--nuclear", "DAPI")
    said = pipeline(*options, token=None, **{weights.TOKEN: TOKEN})
    assert f"Required secret is missing: '{weights.TOKEN}'" in said
    assert hosts.asked == []
    assert TOKEN not in said
    assert holding(tmp_path / "run", forms_of(TOKEN)) == []


def test_a_token_given_as_a_parameter_is_refused_and_not_repeated(pipeline, hosts):
    """Nextflow itself logs its command line, which docs/security.md tells."""
    said = pipeline("--deepcell_access_token", TOKEN, token=None)
    assert "--deepcell_access_token: unknown parameter." in said
    assert TOKEN not in said
    assert hosts.asked == []


def in_python(hosts: Hosts, folder: Path, token: str) -> str:
    """Have MODEL's script fetch the weights as one task does, and return what it says."""
    script = Path(weights.__file__).parents[2] / "model.py"
    command = [sys.executable, script, "--source", "deepcell", "--model", "mesmer.zip"]
    settings = os.environ | hosts.settings | {weights.TOKEN: token}
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)
    assert done.returncode == 65, done.stderr
    assert "Traceback" not in done.stderr
    assert list(folder.rglob("*mesmer*")) == []
    return done.stdout + done.stderr


def test_another_host_never_gets_the_token(hosts, tmp_path):
    hosts.redirect = True
    said = in_python(hosts, tmp_path, TOKEN)
    assert hosts.asked == [(API, "POST", True), (OTHER, "GET", False)]
    assert TOKEN not in said


@pytest.mark.parametrize(
    "answer",
    [
        *(b"", b"{}", b"[]", b"5", b'{"url": 5}', b"\xff", b'{"url": "https://'),
        b'{"url": "file:///etc/hostname"}',
        b'{"url": "https://storage.example.org/a b"}',
    ],
)
def test_answers_that_are_none_are_told_without_the_token(hosts, tmp_path, answer):
    hosts.answers = answer
    said = in_python(hosts, tmp_path, TOKEN)
    assert "deepcell.org could not be used (" in said
    assert TOKEN not in said
    assert [host for host, _, _ in hosts.asked] == [API]


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "caf\u00e9", "\u20ac"])
def test_what_can_be_no_token_is_sent_nowhere_and_not_repeated(hosts, tmp_path, token):
    said = in_python(hosts, tmp_path, token)
    assert "DEEPCELL_ACCESS_TOKEN holds spaces, line breaks or letters" in said
    assert token not in said and repr(token) not in said
    assert hosts.asked == []


def test_a_line_break_after_the_token_does_no_harm(hosts, tmp_path):
    said = in_python(hosts, tmp_path, f"{TOKEN}\n")
    assert hosts.asked[0] == (API, "POST", True)
    assert "the download is damaged or another file" in said
    assert TOKEN not in said
