"""Scripts that run in forks of one process, which has imported what they import."""

import json
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

SERVER = Path(__file__).with_name("fork_server.py")


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
        self._command, self._env = [python, SERVER, *modules], os.environ | env
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "Forks":
        self._folder = TemporaryDirectory(prefix="forks-")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.communicate(timeout=60)
        self._folder.cleanup()

    def run(
        self,
        script: Path,
        *arguments: object,
        cwd: Path | None = None,
        input: str = "",
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a script; return what `subprocess.run` would of a process of its own."""
        if self._process is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self._process = subprocess.Popen(self._command, env=self._env, **pipes)
        streams = [Path(self._folder.name, name) for name in ("given", "out", "said")]
        for path in streams:
            path.write_text(input if path.name == "given" else "")
        command = [str(script), *map(str, arguments)]
        task = {"command": command, "cwd": str(cwd or Path.cwd()), "env": env or {}}
        task["streams"] = [str(path) for path in streams]
        print(json.dumps(task), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        out, said = (path.read_text() for path in streams[1:])
        return subprocess.CompletedProcess(command, code, out, said)
