"""Writing results: a file appears under its name when it is complete, or not at all.

A task can be killed at any moment. What it writes has a hidden name until it is complete, so that
nobody takes half of a result for one, and then its own by a rename, which is one step.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT}
OF_THE_DISK = FULL | {errno.EIO}
_FULL_BYTES = 1 << 16  # a disk with less has no room for anything


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a name to write a file or a folder to, which is at `path` when the block ends.

    What was at `path` goes. Of a block that fails nothing stays, which also makes room for
    its message on a full disk.

    Parameters
    ----------
    path : Path
        In a folder that exists, or that the block makes.

    Raises
    ------
    OSError
        With errno ENOSPC where the block failed on a full disk, whatever its own error was:
        libraries hide that one.
    """
    partial = path.with_name(f".partial-{path.name}")
    _remove(partial)
    try:
        yield partial
        if partial.is_dir():
            _remove(path)
        os.replace(partial, path)
    except Exception as error:
        if path.parent.exists() and shutil.disk_usage(path.parent).free < _FULL_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        _remove(partial)


def write_text(path: Path, text: str) -> None:
    """Write a text file, see `whole`."""
    with whole(path) as partial:
        partial.write_text(text)


def write_json(path: Path, value: object, indent: int | None = 2) -> None:
    """Write a value as JSON, see `whole`."""
    write_text(path, json.dumps(value, indent=indent) + "\n")


def write_csv(path: Path, table) -> None:
    """Write a pandas table without its index as CSV, see `whole`."""
    with whole(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
