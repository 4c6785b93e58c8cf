"""Facts, provenance and tables that a step reads beside images, checked before their use.

Modules can be run by other pipelines, so that these files need not be Cellquilt's own.
"""

import json
import math
import os
import re
from datetime import datetime
from pathlib import Path

import pandas as pd

from ..errors import DataError, reason
from ..images.tiff_limits import MAX_SIDE

MAX_LABEL = (1 << 32) - 1  # of a uint32
_MAX_PLANE = 1 << 31  # far beyond any file's; a message is not to hold thousands of digits
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")  # names of files hold 255
STATUSES = ("matched", "no_nucleus", "nucleus_taken", "extra_nucleus", "no_cell")  # of matches.csv
# Columns of patches_metadata.csv that flag the cells of a patch
PATCH_FLAGS = ("out_of_focus", "saturated")
# A region may be called NA, or 1
_WITH_REGIONS = {
    "dtype_backend": "numpy_nullable",
    "dtype": {"roi": "string"},
    "keep_default_na": False,
    "na_values": [""],
}
_LABELS = ("label", "cell_label", "nucleus_label")
_MATCHES = {
    *(*_LABELS, "status", "mismatch", "trimmed_px", "retained_fraction"),
    *("nucleus_area_before_px", "cell_certified", "nucleus_certified"),
    *("cell_area_px", "nucleus_area_px"),
}


def check_sample(facts: object, path: Path, of: str) -> dict:
    """Return `facts` if they name a sample; raise `DataError` as `check_facts` does.

    If they have notices, these are checked too.
    """
    known = facts if isinstance(facts, dict) else {}
    check_name("sample", known, path, of)
    if not _are_notices(known.get("notices", [])):
        raise DataError(
            f"{path}: its notices are no list of codes and texts; give the file that {of} writes."
        )
    return known


def check_name(key: str, facts: dict, path: Path, of: str) -> None:
    """Raise `DataError` if what `facts` have under `key` cannot be part of a file's name."""
    name = facts.get(key)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DataError(
            f"{path}: its {key} {name!r:.99} is not a name of letters, digits, '.', '_' and '-';"
            f" give the file that {of} writes."
        )


def _are_notices(notices: object) -> bool:
    return isinstance(notices, list) and all(
        isinstance(notice, dict)
        and isinstance(notice.get("code"), str)
        and isinstance(notice.get("text"), str)
        for notice in notices
    )


def check_facts(facts: object, path: Path, of: str, needs_image: bool) -> dict:
    """Return `facts` if they name a sample, its pixel size and, where needed, its image.

    Of an image that has no ``z`` or ``t``, as another pipeline may write it, there is one plane.

    Parameters
    ----------
    facts : object
    path : Path
        The file that they are from.
    of : str
        The step that writes such a file, for the message.
    needs_image : bool

    Raises
    ------
    DataError
        If one of these is missing, or cannot be; files are named after a sample, so that its
        name must not lead anywhere.
    """
    known = check_sample(facts, path, of)
    mpp, image = known.get("image_mpp"), known.get("image")
    problem = None
    if not isinstance(mpp, int | float) or not 0 < mpp < math.inf:
        problem = f"its image_mpp {mpp!r:.99} is no pixel size in um"
    elif needs_image and not _is_image(image):
        problem = "it lacks name, height or width of its image"
    elif needs_image and (axis := _not_a_plane(image)):
        problem = f"its image's {axis} {image[axis]!r:.99} is no plane, a whole number from 0"
    elif needs_image and not _is_selection(image):
        problem = "the scene or the channels_axis of its image is none"
    if problem:
        raise DataError(f"{path}: {problem}; give the file that {of} writes.")
    return known


def _is_image(image: object) -> bool:
    return (
        isinstance(image, dict)
        and isinstance(image.get("name"), str)
        and all(_is_side(image.get(side)) for side in ("height", "width"))
    )


def _not_a_plane(image: dict) -> str | None:
    """Return the axis, z or t, along which an image has a plane that cannot be."""
    for axis in ("z", "t"):
        value = image.get(axis)
        known = (None, "max", "mean") if axis == "z" else (None,)
        if value not in known and not (type(value) is int and 0 <= value <= _MAX_PLANE):
            return axis
    return None


def _is_selection(image: dict) -> bool:
    scene = image.get("scene")
    return image.get("channels_axis", "C") in list("CZT") and (
        scene is None or isinstance(scene, str)
    )


def _is_side(value: object) -> bool:
    return type(value) is int and 0 < value <= MAX_SIDE


def read_facts(path: Path, needs_image: bool = False) -> dict:
    """Return the facts of INGEST's sample.json; see `check_facts`."""
    facts = check_facts(_read_json(path, "INGEST"), path, "INGEST", needs_image)
    if needs_image and not isinstance(facts["image"].get("channels"), list):
        raise DataError(f"{path}: it lacks the channels of its image; give the one of INGEST.")
    return facts


def read_provenance(path: Path) -> dict:
    """Return STITCH's provenance file, with the list of ``steps``."""
    found = _read_json(path, "STITCH")
    if not isinstance(found, dict) or not isinstance(found.get("steps"), list):
        raise DataError(f"{path}: it has no list of steps; give the file that STITCH writes.")
    return found


def read_counts(path: Path) -> dict:
    """Return the counts of STITCH or the metrics of REPAIR, by name."""
    of = "STITCH or REPAIR"
    found = _read_json(path, of)
    if not isinstance(found, dict):
        raise DataError(f"{path}: it has no names and counts; give the file that {of} writes.")
    return found


def read_report(path: Path) -> dict:
    """Return what DRAW reports of a sample, its report.json."""
    needed = {"image", "summary", "patches", "distributions", "pictures", "n_by_status"}
    needed |= {"checks", "markers"}
    return _read_report_of(path, "DRAW", needed)


def read_evaluation(path: Path) -> dict:
    """Return EVALUATE's score of a sample, its evaluation.json."""
    needed = {"evaluator", "quality_score", "problem", "window", "is_whole_slide"}
    return _read_report_of(path, "EVALUATE", needed)


def read_refusals(path: Path) -> list[dict[str, str]]:
    """Return the refused slides of a run: ``sample``, ``step`` and ``message`` of each."""
    found = _read_json(path, "the workflow")
    keys = {"sample", "step", "message"}
    if not isinstance(found, list) or not all(isinstance(r, dict) and keys <= {*r} for r in found):
        raise DataError(f"{path}: must be a list of objects with {', '.join(sorted(keys))}.")
    return found


def read_run(path: Path) -> dict:
    """Return what the workflow says of a run.

    Returns
    -------
    dict
        ``started``, a datetime with its zone; ``command``, the command line; ``name``, Nextflow's
        of the run; ``nextflow``, its version; ``formats``, the list of --formats.
    """
    found = _read_json(path, "the workflow")
    texts = ("started", "command", "name", "nextflow")
    try:
        if not isinstance(found, dict) or not all(isinstance(found[key], str) for key in texts):
            raise ValueError("must be an object of texts")
        if not all(isinstance(name, str) for name in found["formats"]):
            raise ValueError("formats must be a list of names")
        return found | {"started": datetime.fromisoformat(found["started"])}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is not of a run ({reason(error)}).") from error


def _read_report_of(path: Path, of: str, needed: set[str]) -> dict:
    found = check_sample(_read_json(path, of), path, of)
    if missing := needed - found.keys():
        names = ", ".join(sorted(missing))
        raise DataError(f"{path}: it lacks {names}; give the file that {of} writes.")
    return found


def read_patches(path: Path, of: str) -> pd.DataFrame:
    """Return the table of patches, of PATCH or, with their counts, of STITCH."""
    return _read_csv(path, {"is_informative", "reason"}, of)


def read_patch_flags(path: Path) -> pd.DataFrame:
    """Return where STITCH's patches are, and which of them flag their cells.

    Returns
    -------
    DataFrame
        Of each patch that has pixels ``y0``, ``x0``, ``height`` and ``width`` (input px), and
        `PATCH_FLAGS` (bool): False where they are missing, as in tables of earlier versions.

    Raises
    ------
    DataError
        If the patches form no grid, or a flag is none.
    """
    places = ["y0", "x0", "height", "width"]
    table = _read_csv(path, {*places}, "STITCH")
    wrong = [name for name in places if not pd.api.types.is_integer_dtype(table[name])]
    if len(table) and wrong:
        raise DataError(f"{path}: {wrong[0]} is not all whole numbers; give the one of STITCH.")
    table = table[(table["height"] > 0) & (table["width"] > 0)]
    n_places = table["y0"].nunique() * table["x0"].nunique()
    if len(table) != n_places or table.duplicated(["y0", "x0"]).any():
        raise DataError(f"{path}: its patches are no grid of rows and columns; give STITCH's own.")
    flags = {name: table.get(name, pd.Series(False, table.index)) for name in PATCH_FLAGS}
    for name, values in flags.items():
        if not values.dropna().isin([True, False]).all():
            raise DataError(f"{path}: {name} is not all true or false; give the one of STITCH.")
    return table[places].assign(**{name: flag.isin([True]) for name, flag in flags.items()})


def read_uncertified(path: Path) -> pd.DataFrame:
    """Return STITCH's table of the objects that are not certified."""
    columns = {"compartment", "label"}
    table = _read_csv(path, columns, "STITCH", dtype_backend="numpy_nullable")
    check_labels(table, ("label",), path, "STITCH")
    return table


def read_regions(path: Path) -> pd.DataFrame:
    """Return STITCH's table of the region of each object; ``roi`` is missing outside of all."""
    columns = {"compartment", "label", "roi", "is_complete"}
    table = _read_csv(path, columns, "STITCH", **_WITH_REGIONS)
    check_labels(table, ("label",), path, "STITCH")
    if not table["is_complete"].isin([True, False]).all():
        raise DataError(f"{path}: is_complete is not all true or false; give the one of STITCH.")
    return table


def read_matches(path: Path) -> pd.DataFrame:
    """Return REPAIR's table of matches."""
    table = _read_csv(path, _MATCHES, "REPAIR", **_WITH_REGIONS)
    check_labels(table, _LABELS, path, "REPAIR")
    if not table["status"].isin(STATUSES).all():
        raise DataError(f"{path}: a status is none of {', '.join(STATUSES)}; give REPAIR's own.")
    matched = table["status"] == "matched"
    lone = table["cell_label"].isna() & table["nucleus_label"].isna()
    if table.loc[matched, list(_LABELS)].isna().to_numpy().any() or lone.any():
        raise DataError(f"{path}: a row lacks its labels; give the file that REPAIR writes.")
    for column in _LABELS:
        if table[column].dropna().duplicated().any():
            raise DataError(f"{path}: {column} has a number twice; give the one of REPAIR.")
    return table


def _read_json(path: Path, of: str) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: no readable JSON ({reason(error)}); give the one of {of}."
        ) from error


def _read_csv(path: Path, columns: set[str], of: str, **options) -> pd.DataFrame:
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                raise ValueError("its last line is cut short")
        table = pd.read_csv(path, encoding="utf-8-sig", **options)
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path}: no readable CSV ({reason(error)}); give the one of {of}."
        ) from error
    if missing := sorted(columns - set(table)):
        raise DataError(f"{path}: has no column {', '.join(missing)}; give the one of {of}.")
    return table


def check_labels(table: pd.DataFrame, columns: tuple[str, ...], path: Path, of: str) -> None:
    """Raise `DataError` unless columns hold labels, or nothing where an object has none."""
    for column in columns:
        labels = table[column].dropna()
        if len(labels) and not pd.api.types.is_integer_dtype(labels):
            raise DataError(f"{path}: {column} is not all whole numbers; give the one of {of}.")
        if ((labels < 1) | (labels > MAX_LABEL)).any():
            raise DataError(
                f"{path}: {column} is not all from 1 to {MAX_LABEL:,}; give the file that {of}"
                " writes, of masks whose objects are numbered from 1."
            )
