"""Scripts that run in forks of one process, which has imported what they import."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from . import fork_client

HERE = Path(__file__).parent


class Forks:
    """An environment's Python that imports modules once; it starts with the first script.

    A context manager. TensorFlow takes longer to import than a small slide to be segmented; in a
    fork it works, as long as the process that was forked has not used it.

    Parameters
    ----------
    python : Path or str
    modules : str
        What it imports.
    env : str
        What is other in its environment.
    """

    def __init__(self, python: Path | str, *modules: str, **env: str):
        self._command, self._modules, self._env = [python, HERE / "fork_server.py"], modules, env
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "Forks":
        self._folder = TemporaryDirectory(prefix="forks-")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.communicate(timeout=60)
        self._folder.cleanup()

    def start(self) -> str:
        """Start the process, if it has not started, and return its socket."""
        server = f"{self._folder.name}/server"
        if self._process is None:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(server)
                listener.listen()
                self._process = subprocess.Popen(
                    [*self._command, str(listener.fileno()), *self._modules],
                    env=os.environ | self._env,
                    pass_fds=[listener.fileno()],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                )
        return server

    def write_python(self, path: Path) -> None:
        """Write a program that stands in for the environment's Python, wherever it is started."""
        path.parent.mkdir(parents=True)
        path.write_text(
            f"#!{sys.executable} -IS\n"
            f"import sys; sys.path.append({str(HERE)!r}); import fork_client\n"
            f"fork_client.main({self.start()!r})\n"
        )
        path.chmod(0o755)

    def run(
        self,
        script: Path,
        *arguments: object,
        cwd: Path | None = None,
        input: str = "",
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a script; return what `subprocess.run` would of a process of its own."""
        given, out, said = (Path(self._folder.name, name) for name in ("given", "out", "said"))
        given.write_text(input)
        command = [str(script), *map(str, arguments)]
        where = str(cwd or Path.cwd()), os.environ | self._env | (env or {})
        with given.open() as stdin, out.open("w") as stdout, said.open("w") as stderr:
            streams = [stream.fileno() for stream in (stdin, stdout, stderr)]
            code = fork_client.run(self.start(), command, *where, streams)
        return subprocess.CompletedProcess(command, code, out.read_text(), said.read_text())
