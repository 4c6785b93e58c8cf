"""The names of channels in a table beside the slide, for files that keep none."""

import csv
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError, reason

_MAX_BYTES = 1_000_000
_KEPT = {"1", "1.0", "true", "yes"}
_DROPPED = {"0", "0.0", "false", "no", ""}
_FORMS = (
    "it needs one name a line, or a column marker_name (as MCMICRO's markers.csv) or name (as"
    " steinbock's panel.csv)"
)


def read_markers(path: Path) -> tuple[str, ...]:
    """Return the names of a slide's channels, in their order.

    Parameters
    ----------
    path : Path
        A table, separated by commas, semicolons or tabs, with a column ``marker_name`` (MCMICRO;
        in the order of ``channel_number`` where it has that) or ``name`` (steinbock; of rows whose
        ``keep`` is not 0). Or one name a line.

    Raises
    ------
    DataError
        Not such a file; the message names the row.
    """
    rows = _rows(path)
    if not rows:
        raise DataError(f"{path}: has no names; {_FORMS}")
    header = [cell.casefold() for cell in rows[0][1]]
    if "marker_name" in header:
        return _column(path, header, rows[1:], "marker_name", order="channel_number")
    if "name" in header:
        return _column(path, header, rows[1:], "name", keep="keep")
    for line, cells in rows:
        if len(cells) > 1:
            raise DataError(f"{path}: line {line} has {len(cells)} values; {_FORMS}")
    return tuple(cells[0] for _, cells in rows)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines that are not blank, from 1, with their trimmed values."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path}: is larger than 1 MB, which no list of channels is; {_FORMS}")
        text = path.read_text(encoding="utf-8-sig")
        first = text.strip().partition("\n")[0]
        separator = max(",;\t", key=first.count)
        reader = csv.reader(text.splitlines(), delimiter=separator)
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as text ({reason(error)}); {_FORMS}") from error
    return [(line, cells) for line, cells in rows if any(cells)]


def _column(
    path: Path,
    header: Sequence[str],
    rows: Sequence[tuple[int, list[str]]],
    name: str,
    keep: str = "",
    order: str = "",
) -> tuple[str, ...]:
    """Return the values of a column, of rows that are kept, by the number in another."""
    found: list[tuple[int, str]] = []
    for line, cells in rows:
        of = dict(zip(header, cells, strict=False))
        kept = of.get(keep, "1").casefold()
        if kept not in _KEPT | _DROPPED:
            raise DataError(f"{path}: line {line}: {keep} is '{kept:.99}'; it must be 0 or 1")
        if kept in _DROPPED:
            continue
        number = of.get(order, str(len(found)))
        if not number.isdecimal() or len(number) > 9:
            raise DataError(f"{path}: line {line}: {order} '{number:.99}' is no whole number")
        found.append((int(number), of.get(name, "")))
    numbers = [number for number, _ in found]
    if len(set(numbers)) < len(numbers):
        raise DataError(f"{path}: a {order} occurs twice; give each channel its own")
    if not found:
        raise DataError(f"{path}: has no rows with a channel; {_FORMS}")
    return tuple(text for _, text in sorted(found))
