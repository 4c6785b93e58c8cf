"""What MultiQC shows of a run: files of its custom content, which it finds by their names.

See its documentation, "Custom content". Nothing of MultiQC is needed to write them.
"""

import html
from collections.abc import Sequence
from pathlib import Path

from .. import outputs
from ..compartments import PLURALS
from .findings import findings
from .measures import MEASURES
from .summary import certified_fraction

PARENT = {
    "parent_id": "cellquilt",
    "parent_name": "Cellquilt",
    "parent_description": "Cells and nuclei segmented in whole slides, and matched.",
}
# Of REPAIR, from the best to the worst; see docs/outputs.md.
STATUSES = {
    "matched": ("Cell with its nucleus", "#1b9e77"),
    "no_nucleus": ("Cell without nucleus", "#e6ab02"),
    "nucleus_taken": ("Cell, nucleus taken by another", "#d95f02"),
    "extra_nucleus": ("Nucleus, cell taken by another", "#7570b3"),
    "no_cell": ("Nucleus outside cells", "#666666"),
}


def write(samples: Sequence[dict], refusals: Sequence[dict], folder: Path) -> list[Path]:
    """Write the files of a run.

    Parameters
    ----------
    samples : sequence of dict
        Contents of each sample's report.json: of it ``sample``, ``summary``, ``n_by_status``,
        ``density_per_mm2``, ``objects``, ``distributions`` and what `findings` needs; and as
        ``evaluation`` those of its evaluation.json where it has one.
    refusals : sequence of dict
        See `run_report.render`.
    folder : Path
        Is made where it is not there.

    Returns
    -------
    list of Path
        Files ending in ``_mqc.json``, those that have anything to show.
    """
    contents = {"general": general_statistics(samples), "refused": refused_slides(refusals)}
    contents |= {"attention": attention(samples), "status": status_counts(samples)}
    contents |= {f"{name}_area": areas(samples, name) for name in PLURALS}
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in contents.items():
        if content["data"]:
            paths.append(folder / f"cellquilt_{name}_mqc.json")
            whole = {"id": f"cellquilt_{name}", **PARENT, **content}
            outputs.write_json(paths[-1], whole)
    return paths


def general_statistics(samples: Sequence[dict]) -> dict:
    """Return the columns of MultiQC's first table, one row a sample."""
    count = {"format": "{:,.0f}", "min": 0}
    share = {"suffix": "%", "min": 0, "max": 100, "format": "{:,.1f}"}
    columns = {
        "n_cells": count | {"title": "Cells", "description": "Cells found", "scale": "Blues"},
        "n_nuclei": count | {"title": "Nuclei", "description": "Nuclei found", "scale": "Purples"},
        "matched_percent": share
        | {
            "title": "Matched",
            "description": "Matched pairs, of all cells and nuclei",
            "scale": "RdYlGn",
        },
        "density_per_mm2": count
        | {
            "title": "Per mm²",
            "description": "Cells, or nuclei without cells, per mm² of slide",
            "scale": "Greens",
        },
        "certified_percent": share
        | {
            "title": "Tiling verified",
            "description": "Cells and nuclei proved to be independent of how the slide was cut",
            "scale": "RdYlGn",
        },
        "quality_score": {
            "title": "Quality",
            "description": "Quality score of CellSegmentationEvaluator, of a part of the slide;"
            " 1 is the average of those that it was made from, more is better",
            "format": "{:,.2f}",
            "scale": "Greens",
        },
    }
    data = {sample["sample"]: _statistics(sample) for sample in samples}
    used = {name for row in data.values() for name in row}
    headers = {name: column for name, column in columns.items() if name in used}
    return {"plot_type": "generalstats", "headers": headers, "data": data}


def _statistics(sample: dict) -> dict[str, float]:
    summary = sample["summary"]
    values = {
        "n_cells": summary["n_cells"],
        "n_nuclei": summary["n_nuclei"],
        "matched_percent": _percent(summary["matched_fraction"]),
        "density_per_mm2": sample["density_per_mm2"],
        "certified_percent": _percent(certified_fraction(summary)),
        "quality_score": (sample.get("evaluation") or {}).get("quality_score"),
    }
    return {name: value for name, value in values.items() if value is not None}


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def refused_slides(refusals: Sequence[dict]) -> dict:
    """Return a table of the slides that were refused, with the step and its message."""
    reasons: dict[str, list[dict]] = {}
    for refusal in refusals:
        reasons.setdefault(refusal["sample"], []).append(refusal)
    return {
        "section_name": "Refused slides",
        "description": "Slides that could not be used as they are. The others went on.",
        "plot_type": "table",
        "pconfig": {
            "id": "cellquilt_refused_table",
            "title": "Cellquilt: refused slides",
            "col1_header": "Slide",
        },
        "headers": {"step": {"title": "Step"}, "message": {"title": "Reason"}},
        "data": {
            sample: {
                key: html.escape("; ".join(refusal[key] for refusal in found))
                for key in ("step", "message")
            }
            for sample, found in reasons.items()
        },
    }


def attention(samples: Sequence[dict]) -> dict:
    """Return what needs attention in the samples that have any of it, a row a sample.

    MultiQC takes text for HTML, and texts quote the names of files and channels.
    """
    found = {sample["sample"]: findings(sample) for sample in samples}
    return {
        "section_name": "What needs attention",
        "description": "What to check before the masks are used.",
        "plot_type": "table",
        "pconfig": {"id": "cellquilt_attention_table", "title": "Cellquilt: attention"},
        "headers": {
            "n_urgent": {"title": "Urgent", "format": "{:,.0f}", "scale": "Reds", "min": 0},
            "text": {"title": "What was found"},
        },
        "data": {
            name: {
                "n_urgent": sum(finding.urgent for finding in listed),
                "text": html.escape(" ".join(finding.text for finding in listed)),
            }
            for name, listed in found.items()
            if listed
        },
    }


def status_counts(samples: Sequence[dict]) -> dict:
    """Return how many cells and nuclei have each status, a bar a sample."""
    categories = {name: {"name": title, "color": c} for name, (title, c) in STATUSES.items()}
    return {
        "section_name": "Cells and nuclei by match",
        "description": "What became of each cell, and of each nucleus without a cell, in matching.",
        "plot_type": "bargraph",
        "pconfig": {
            "id": "cellquilt_status_plot",
            "title": "Cellquilt: cells and nuclei by match",
            "ylab": "Cells and nuclei",
        },
        "categories": categories,
        "data": {
            sample["sample"]: {name: sample["n_by_status"].get(name, 0) for name in STATUSES}
            for sample in samples
            if sample["n_by_status"]
        },
    }


def areas(samples: Sequence[dict], compartment: str) -> dict:
    """Return the distributions of a compartment's areas, a line a sample."""
    measure = MEASURES[f"{compartment}_area_um2"]
    objects, unit = measure.what, measure.unit
    found = {
        sample["sample"]: sample["distributions"][measure.key]
        for sample in samples
        if sample["distributions"].get(measure.key, {"n": 0})["n"]
    }
    return {
        "section_name": f"Area of {objects}",
        "description": f"Share of a sample's {objects} by their area.",
        "plot_type": "linegraph",
        "pconfig": {
            "id": f"cellquilt_{compartment}_area_plot",
            "title": f"Cellquilt: area of {objects}",
            "xlab": "Area",
            "xsuffix": f" {unit}",
            "ylab": f"Share of {objects}",
            "ysuffix": "%",
            "ymin": 0,
            "tt_label": f"{{point.x:.0f}} {unit}: {{point.y:.2f}}%",
        },
        "data": {name: _shares(distribution) for name, distribution in found.items()},
    }


def _shares(distribution: dict) -> list[tuple[float, float]]:
    """Return the middles of a distribution's bins and the percentages in them.

    In pairs: keys of JSON are text, by which MultiQC would sort them, 12.5 before 2.5.
    """
    width, n = distribution["width"], distribution["n"]
    return [((k + 0.5) * width, 100 * count / n) for k, count in enumerate(distribution["counts"])]
