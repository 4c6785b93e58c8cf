"""Definition of a case, where cases are stored, and how one is run and checked."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
SERVER = Path(__file__).with_name("server.py")
GIB = 1 << 30
PEAK = 2 * GIB
MAX_MESSAGE = 1000

Build = Callable[[Path], Sequence[str | Path]]
Check = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """A case: how its files are made, and what must come of them.

    Attributes
    ----------
    name : str
    build : callable
        Makes the files in the folder that it is given, and returns script and arguments.
    refused : str or None
        What the error says, as a regular expression; None where the result is to be right.
    check : callable or None
        Looks at the result in the folder.
    names : str
        What the error must name: the file that is to be mended.
    """

    name: str
    build: Build
    refused: str | None
    check: Check | None
    names: str


CASES: dict[str, Case] = {}


def case(
    name: str, refused: str | None = None, names: str = "", check: Check | None = None
) -> Callable[[Build], Build]:
    """Return a decorator that keeps a function which builds a case."""

    def keep(build: Build) -> Build:
        assert name not in CASES and (refused or check), name
        CASES[name] = Case(name, build, refused, check, names)
        return build

    return keep


class Server:
    """An environment's Python that has imported what scripts need; a context manager."""

    def __init__(self, python: str | Path, *modules: str):
        self._process = subprocess.Popen(
            [python, SERVER, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                "PATH": f"{Path(python).parent}:/usr/bin:/bin",
                "PYTHONPATH": str(REPO / "bin"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "CUDA_VISIBLE_DEVICES": "",
            },
        )

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def run(self, folder: Path, arguments: Sequence[str | Path]) -> dict:
        """Run a script in a folder of its own, where alone it may write; return what it did."""
        (folder / "work").mkdir(exist_ok=True)
        before = set(folder.rglob("*"))
        task = {
            "argv": [str(argument) for argument in arguments],
            "cwd": str(folder / "work"),
            "log": str(folder.with_suffix(".log")),
            "roots": [str(folder / "work"), str(folder / "out")],
        }
        print(json.dumps(task), file=self._process.stdin, flush=True)
        done = json.loads(self._process.stdout.readline())
        allowed = (folder / "work", folder / "out")
        new = [path for path in set(folder.rglob("*")) - before if path not in allowed]
        done["stray"] = [
            str(path) for path in new if not any(root in path.parents for root in allowed)
        ]
        done["log"] = folder.with_suffix(".log").read_text(errors="replace")
        return done


def judge(case: Case, folder: Path, done: dict) -> None:
    """Assert that a script did what its case expects, and nothing that no script may do."""
    log = done["log"]
    told = f"{case.name}: exit code {done['code']}, {done['peak'] / GIB:.2f} GiB\n{log[-3000:]}"
    assert not done["timed_out"], told
    assert "Traceback" not in log, told
    assert done["peak"] < PEAK, told
    assert done["forbidden"] == [], told
    assert done["stray"] == [], told
    if case.check is not None:
        case.check(folder)
    if case.refused is None:
        assert done["code"] == 0, told
        return
    assert done["code"] == 65, told
    message = log[log.index("ERROR: ") :].strip()
    assert re.search(case.refused, message), told
    assert case.names in message, told
    assert len(message) < MAX_MESSAGE and message.count("\n") <= 1, told
    assert message.isprintable() or message.replace("\n", "").isprintable(), told


def script(name: str, *arguments: str | Path) -> list[str | Path]:
    """Return the command line of a script of bin/."""
    return [REPO / "bin" / f"{name}.py", *arguments]


def here() -> str:
    """Return the Python that runs the tests."""
    return sys.executable
