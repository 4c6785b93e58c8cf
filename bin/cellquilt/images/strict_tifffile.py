"""tifffile made strict.

tifffile is lenient: of a truncated file it returns what is left, for missing planes zeros, and it
says so in its log alone. Here each of these is an error.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DataError, reason

DAMAGED = "copy, download or export it again"
# Tags whose value decides what is read; a complaint about any other is harmless.
_ESSENTIAL_TAGS = {256, 257, 258, 259, 262, 266, 270, 273, 277, 278, 279, 284}
_ESSENTIAL_TAGS |= {317, 322, 323, 324, 325, 330, 339, 347}


class _Listener(logging.Handler):
    """Collects what tifffile warns of, but for tags that no pixel depends on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.complaints: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        tag = re.match(r"<tifffile\.TiffTag (\d+) @\d+> (raised|coercing)", message)
        if tag is None or int(tag[1]) in _ESSENTIAL_TAGS:
            self.complaints.append(re.sub(r"<[^>]*> (raised )?", "", message))


@contextmanager
def strict_tifffile(path: Path) -> Iterator[None]:
    """Turn what tifffile and its codecs raise or log while `path` is read into `DataError`."""
    logger, listener = logging.getLogger("tifffile"), _Listener()
    before = logger.level, logger.propagate
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.addHandler(listener)
    try:
        yield
    except (DataError, MemoryError, OSError):
        raise
    except Exception as error:  # each codec raises a class of its own
        raise _damaged(path, [*listener.complaints, error][0]) from error
    finally:
        logger.removeHandler(listener)
        logger.setLevel(before[0])
        logger.propagate = before[1]
    if listener.complaints:
        raise _damaged(path, listener.complaints[0])


def _damaged(path: Path, problem: Exception | str) -> DataError:
    return DataError(f"{path}: truncated or damaged ({reason(problem)}); {DAMAGED}")
