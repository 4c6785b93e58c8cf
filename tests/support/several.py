"""A Nextflow that takes several commands, since its start is most of what a short one takes.

They are the same commands, since several.nf calls what Nextflow's own start does. But folder and
environment are one for all, so that runs need a -work-dir and an --outdir of their own. And of
commands that fail the first alone says why: this is for runs that succeed, and for what they leave.
"""

import json
import os
import subprocess
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
Done = subprocess.CompletedProcess


class Nextflow:
    """A process of Nextflow that waits for commands.

    Parameters
    ----------
    folder : Path
        Where it runs; its folder ``said`` is for what the commands say.
    env : str or Path
        More of the environment.
    """

    def __init__(self, folder: Path, **env: str | Path):
        self._said = folder / "said"
        self._said.mkdir()
        self._n_commands = 0
        more = {"NXF_ANSI_LOG": "false"} | {name: str(value) for name, value in env.items()}
        with (self._said / "log").open("w") as log:
            self._process = subprocess.Popen(
                [REPO / "tools" / "nextflow", "run", Path(__file__).with_name("several.nf")],
                cwd=folder,
                env=os.environ | more,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def __enter__(self) -> "Nextflow":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()

    def run(self, *words: str | Path) -> Done:
        """Run a command; return its exit code and all that it said, as ``stdout``."""
        said = self._said / f"{self._n_commands}.txt"
        code = said.with_name(f"{said.name}.code")
        self._n_commands += 1
        asked = {"said": str(said), "words": [str(word) for word in words]}
        self._process.stdin.write(f"{json.dumps(asked)}\n")
        self._process.stdin.flush()
        while not code.exists() and self._process.poll() is None:
            time.sleep(0.05)
        assert said.exists(), (self._said / "log").read_text()
        ended = int(code.read_text()) if code.exists() else self._process.returncode
        return Done(words, ended, said.read_text(), "")


def run_several(
    folder: Path, commands: dict[str, list[str | Path]], **env: str | Path
) -> dict[str, Done]:
    """Run commands from a folder in their order, and return what became of each, by its name."""
    with Nextflow(folder, **env) as nextflow:
        return {name: nextflow.run(*words) for name, words in commands.items()}
