"""A Nextflow that takes several commands, since its start is most of what a short one takes.

They are the same commands, since several.nf calls what Nextflow's own start does, each in a folder
and with an environment of its own. It knows what Nextflow 25.04 and Java 17 keep for as long as a
process lasts; with others each command has a start of its own.
"""

import json
import os
import subprocess
import time
from pathlib import Path

NEXTFLOW = Path(__file__).resolve().parents[2] / "tools" / "nextflow"
Done = subprocess.CompletedProcess


MOST_COMMANDS = 16  # of a process, which keeps 60 to 130 MB of each


class Nextflow:
    """A process of Nextflow that waits for commands, from the first on; another after some.

    A context manager.

    Parameters
    ----------
    folder : Path
        For what it says, and its commands.
    env : str or Path
        What is other in its environment, and so in that of its tasks.
    """

    def __init__(self, folder: Path, **env: str | Path):
        self._folder, self._env = folder, os.environ | _strings(env)
        self._starts_each = False
        self._n_commands = 0
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "Nextflow":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._process:
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen:
        log = self._folder / "log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [NEXTFLOW, "run", Path(__file__).with_name("several.nf")],
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
            )
        while "ready" not in log.read_text().splitlines() and process.poll() is None:
            time.sleep(0.05)
        self._starts_each = process.poll() is not None
        return process

    def run(self, *words: str | Path, folder: Path, **env: str | Path) -> Done:
        """Run a command in a folder, with what is other in its environment, but not its tasks'.

        Return its exit code and all that it said, as ``stdout``.
        """
        if self._n_commands % MOST_COMMANDS == 0:
            self._stop()
        has_ended = self._process is None or self._process.poll() is not None  # as --help ends it
        if has_ended and not self._starts_each:
            self._process = self._start()
        env = {"NXF_ANSI_LOG": "false", "NXF_LOG_FILE": folder / ".nextflow.log"} | env
        env = self._env | _strings(env)
        if self._starts_each:
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            done = subprocess.run([NEXTFLOW, *words], cwd=folder, env=env, **pipes)
            return Done(words, done.returncode, done.stdout, "")
        said = self._folder / f"{self._n_commands}.txt"
        code = said.with_name(f"{said.name}.code")
        self._n_commands += 1
        asked = {
            "said": str(said),
            "folder": str(folder),
            "env": env,
            "words": [str(word) for word in words],
        }
        self._process.stdin.write(f"{json.dumps(asked)}\n")
        self._process.stdin.flush()
        while not code.exists() and self._process.poll() is None:
            time.sleep(0.05)
        assert said.exists(), (self._folder / "log").read_text()
        ended = int(code.read_text()) if code.exists() else self._process.returncode
        return Done(words, ended, said.read_text(), "")


def _strings(env: dict[str, str | Path]) -> dict[str, str]:
    return {name: str(value) for name, value in env.items()}
