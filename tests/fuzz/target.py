"""Fuzz one reader for a while, in this process: python target.py READER FOLDER [FLAG...].

FLAG are those of libFuzzer. FOLDER gets ``corpus/``, from which the next run continues, and, for
each finding, the file that reproduces it and a text that describes it. Python exceptions do not end
the run; a crash, a hang and too much memory do.
"""

import hashlib
import logging
import os
import random
import re
import resource
import shutil
import sys
import sysconfig
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path[:1] = [str(REPO / "bin"), str(HERE.parent)]  # in the place of this folder
# Whose branches guide, beside cellquilt's own: what is pure Python, and reads the file
INSTRUMENTED = {
    "slide": ("tifffile", "ome_types"),
    "zarr": ("zarr", "zipfile"),
    "channel-set": ("tifffile",),
    "member": ("tifffile", "ome_types"),
    "companion": ("ome_types",),
    "labels": ("tifffile", "zarr"),
    "ome-xml": ("ome_types",),
    "card": ("zipfile",),
    "network": ("zipfile",),
    "saved-network": ("zipfile",),
    "nuclei-card": ("zipfile",),
    "nuclei": ("zipfile",),
    "architectures": ("yaml",),
    "store": ("zarr", "zipfile"),
    "archive": ("tarfile", "gzip"),
}
with atheris.instrument_imports(include=["cellquilt", *INSTRUMENTED.get(sys.argv[1], ())]):
    from fuzz import readers

from hostile.corpus import MAX_MESSAGE, PEAK  # noqa: E402
from hostile.server import FORBIDDEN, WRITING  # noqa: E402

from cellquilt.cli import printable  # noqa: E402
from cellquilt.errors import DataError  # noqa: E402

CPU_SECONDS = 20
MAX_BYTES = 1 << 16
# What a library may look up of itself, and of the machine
KNOWN_PLACES = (
    *(sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), str(REPO / "bin")),
    *("/proc", "/sys", "/dev/null", "/dev/urandom", "/etc/localtime", "/usr/share/zoneinfo"),
)


class Finding(Exception):
    """What a reader did beside what it may."""


class Target:
    """A reader on one file after the other.

    Parameters
    ----------
    reader : Reader
    folder : Path
        Where findings go.
    scratch : Path
        In memory; the reader may read and write there.
    """

    def __init__(self, reader: "readers.Reader", folder: Path, scratch: Path):
        self._reader, self._folder, self._scratch = reader, folder, scratch
        self._places = (str(scratch), *KNOWN_PLACES)
        self._forbidden: list[str] = []
        self._active = False
        if reader.beside is not None:
            reader.beside(scratch)
        self._kept = {*scratch.iterdir(), scratch / reader.file}
        sys.addaudithook(self._audit)

    def __call__(self, data: bytes) -> None:
        """Read `data` as a file, and keep it if that shows something new."""
        path = self._scratch / self._reader.file
        path.write_bytes(data)
        self._forbidden.clear()
        start = time.process_time()
        self._active = True
        try:
            self._read(path)
            self._active = False
            self._check(time.process_time() - start)
        except Exception as error:
            self._active = False
            self._keep(data, error)
            if isinstance(error, MemoryError) or _peak() > PEAK:
                raise  # the peak does not come down again
        for left in {*self._scratch.iterdir()} - self._kept:
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def _read(self, path: Path) -> None:
        try:
            self._reader.read(path)
        except DataError as error:
            message = printable(str(error))
            known = path.name in message or path.parent.name in message
            if not known or len(message) > MAX_MESSAGE or message.count("\n") > 1:
                raise Finding(f"a message of {len(message)}: {message[:2000]!r}") from error

    def _check(self, seconds: float) -> None:
        if self._forbidden:
            raise Finding(f"not for a reader to do: {self._forbidden[0]}")
        if _peak() > PEAK:
            raise Finding(f"memory of {_peak() / 2**30:.2f} GiB")
        if seconds > CPU_SECONDS:
            raise Finding(f"{seconds:.0f} s of a processor")

    def _audit(self, event: str, arguments: tuple) -> None:
        if not self._active:
            return
        if event == "open" and isinstance(arguments[0], str | bytes):
            if sys._getframe(1).f_globals.get("__name__") == "tokenize":
                return  # a traceback that is put into words, with the lines of its sources
            place = os.path.realpath(os.fsdecode(arguments[0]))
            flags = arguments[2] or 0
            if not place.startswith(self._places) or (
                flags & WRITING and not place.startswith((self._places[0], "/dev/"))
            ):
                self._forbidden.append(f"open {place}")
        elif event in FORBIDDEN:
            self._forbidden.append(f"{event} {arguments[0]!r}")

    def _keep(self, data: bytes, error: Exception) -> None:
        """Keep the shortest file of each kind of finding."""
        where = traceback.extract_tb((error.__cause__ or error).__traceback__)
        where = [frame for frame in where if Path(frame.filename).parent != HERE]
        frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in where]
        told = re.sub(r"\d|'.*", "", str(error))[:40] if isinstance(error, Finding) else ""
        kind = f"{type(error).__name__} {' '.join([*frames[:2], *frames[-1:]])} {told}"
        name = f"{type(error).__name__}-{hashlib.sha1(kind.encode()).hexdigest()[:8]}"
        kept = self._folder / name
        if kept.exists() and kept.stat().st_size <= len(data):
            return
        if not kept.exists():
            print(f"finding: {name}: {kind}: {str(error)[:200]!r}", file=sys.stderr, flush=True)
        kept.write_bytes(data)
        text = "".join(traceback.format_exception(error))
        kept.with_suffix(".txt").write_text(text, errors="backslashreplace")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def mutating(mutator: readers.Mutator) -> Callable[[bytes, int, int], bytes]:
    """Return a mutator as libFuzzer calls it: with a size that it must not exceed, and a seed."""

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        def mutate(part: bytes) -> bytes:
            return bytes(atheris.Mutate(part, max(2 * len(part), 64)))

        changed = mutator(data, random.Random(seed), mutate)
        return changed if len(changed) <= max_size else bytes(atheris.Mutate(data, max_size))

    return change


def main() -> None:
    name, folder, *flags = sys.argv[1:]
    reader, folder = readers.READERS[name], Path(folder)
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(reader.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    for silent in ("cellquilt", "asyncio"):
        logging.getLogger(silent).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (4 * PEAK, 4 * PEAK))
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="cellquilt-fuzz-", dir=memory) as scratch:
        target = Target(reader, folder, Path(scratch))
        flags = [
            *(
                f"-rss_limit_mb={PEAK >> 20}",
                "-timeout=60",
                "-report_slow_units=60",
                f"-max_len={MAX_BYTES}",
            ),
            *(f"-artifact_prefix={folder}/", "-print_final_stats=1", *flags),
        ]
        where = [] if "-runs=1" in flags else [str(corpus)]
        atheris.Setup(
            [sys.argv[0], *flags, *where], target, custom_mutator=mutating(reader.mutator)
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
