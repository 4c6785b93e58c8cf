"""A folder on the web, which counts what is asked of it."""

import io
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO


class Web(ThreadingHTTPServer):
    """Files of a folder at `address`, whole or a range of bytes.

    Attributes
    ----------
    requests, sent : Counter
        Of each path, how often it was asked for, and how many bytes of it went out.
    """

    def __init__(self, folder: Path):
        super().__init__(("localhost", 0), partial(_Handler, directory=str(folder)))
        self.address = f"http://localhost:{self.server_port}"
        self.requests: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()


class _Handler(SimpleHTTPRequestHandler):
    server: Web

    def send_head(self) -> BinaryIO | None:
        self.server.requests[self.path] += 1
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            return super().send_head()
        data = path.read_bytes()[int(wanted[1]) : int(wanted[2]) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        return io.BytesIO(data)

    def copyfile(self, source: BinaryIO, outputfile: BinaryIO) -> None:
        with suppress(ConnectionError):
            while data := source.read(1 << 16):
                outputfile.write(data)
                self.server.sent[self.path] += len(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def on_the_web(folder: Path) -> Iterator[Web]:
    """Yield the server of a folder."""
    with Web(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
