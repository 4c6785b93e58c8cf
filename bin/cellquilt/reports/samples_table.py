"""samples.csv: the figures of all samples of a run, a row each."""

import csv
import io
from collections.abc import Sequence

from ..cells import flags
from .findings import findings
from .index import own_columns, quality_score
from .measures import MEASURES
from .summary import COUNTS

IMAGE = ("height", "width")
TRUTH = ("f1_cell", "f1_nucleus")
FLAGGED = ("n_flagged", *(f"n_{flags.column_of(flag)}" for flag in flags.FLAGS))
COLUMNS = (
    *("sample", "image", *IMAGE, "image_mpp"),
    *COUNTS,
    *FLAGGED,
    "density_per_mm2",
    *(f"median_{key}" for key in MEASURES),
    *TRUTH,
    *("quality_score", "n_urgent", "n_findings", "findings", "refused_step", "refused_reason"),
)


def render(samples: Sequence[dict], refusals: Sequence[dict] = ()) -> str:
    """Return the table as CSV: fields with commas, quotes or line breaks are quoted (RFC 4180).

    Parameters
    ----------
    samples : sequence of dict
        Contents of report.json, or `index.entry` of them, with ``evaluation``.
    refusals : sequence of dict
        See `run_report.render`. Of a slide that was refused before DRAW nothing else is known.

    Returns
    -------
    str
        `COLUMNS`, and after ``image_mpp`` the user's own, as they were given: one that has the
        name of another gets ``own_`` before it. What does not apply is empty.
    """
    own: dict[str, str] = {}
    for name in own_columns(samples):
        own[name] = name
        while own[name] in COLUMNS or list(own.values()).count(own[name]) > 1:
            own[name] = f"own_{own[name]}"
    rows = {sample["sample"]: _row(sample, own) for sample in samples}
    for refusal in refusals:
        row = rows.setdefault(refusal["sample"], {"sample": refusal["sample"]})
        for name, value in (("step", refusal["step"]), ("reason", refusal["message"])):
            before = row.get(f"refused_{name}")
            row[f"refused_{name}"] = f"{before}; {value}" if before else value
    after = COLUMNS.index("image_mpp") + 1
    header = [*COLUMNS[:after], *own.values(), *COLUMNS[after:]]
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, header, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows[name] for name in sorted(rows))
    return text.getvalue()


def _row(sample: dict, own: dict[str, str]) -> dict[str, object]:
    image, summary, found = sample["image"], sample["summary"], findings(sample)
    medians = {
        f"median_{key}": distribution["quantiles"].get("0.5")
        for key, distribution in sample["distributions"].items()
    }
    flagged = {flags.column_of(flag): n for flag, n in summary.get("flags", {}).items()}
    return {
        **{"sample": sample["sample"], "image": image["name"], "image_mpp": image["mpp"]},
        **{name: image[name] for name in IMAGE},
        **{own[name]: value for name, value in sample["columns"].items()},
        **{name: summary.get(name) for name in (*COUNTS, "n_flagged", *TRUTH)},
        **{f"n_{column}": n for column, n in flagged.items()},
        **{"density_per_mm2": sample["density_per_mm2"], **medians},
        "quality_score": quality_score(sample),
        "n_urgent": sum(finding.urgent for finding in found),
        "n_findings": len(found),
        "findings": " ".join(finding.text for finding in found),
    }
