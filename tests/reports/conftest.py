"""What DRAW reports of small samples, for the tests of pages and tables."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.browser import Page
from support.steps import ingest_image
from support.tables import markers_of, rows_of, write_table

from cellquilt.cells import flags
from cellquilt.handoff.stores import read as read_store
from cellquilt.images.label_image import write_label_image
from cellquilt.quality import figures
from cellquilt.reports.sample_report import describe, read_cells
from cellquilt.reports.slide_view import view_slide
from cellquilt.reports.summary import summarise
from cellquilt.synthetic.tissue import generate_tissue

KINDS = ("both", "whole-cell", "nuclear", "empty")
# Of both compartments, as DRAW counts them in a table with all limits
FLAGGED = {
    "n_flagged": 1012,
    "flags": {flag: n for n, flag in enumerate(flags.FLAGS)},
    "flag_limits": {name: 0.5 + n for n, name in enumerate(flags.LIMITS)},
}


@pytest.fixture(scope="session")
def tissue():
    return generate_tissue(300, 420, seed=7, empty_width=100)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Return a browser for the pages of all tests here, of which each opens its own."""
    with Page(None, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="session")
def samples_folder(tmp_path_factory) -> Path:
    """Return where the slides and masks of `samples` are."""
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="session")
def samples(tissue, samples_folder) -> dict[str, dict]:
    """Return what DRAW writes of a tissue by what was segmented in it, and of no cells at all."""
    cells, nuclei = tissue.cell_truth, tissue.nucleus_truth
    inside = np.where(nuclei == cells, nuclei, 0)
    both = np.intersect1d(cells[cells > 0], inside[inside > 0])
    order = np.zeros(max(cells.max(), nuclei.max()) + 1, np.uint32)
    order[both] = np.arange(1, len(both) + 1)
    # Every nucleus of a matched cell loses its left edge.
    trimmed = np.where(np.roll(inside, 1, axis=1) == inside, order[inside], 0).astype(np.uint32)
    masks = {
        "both": {
            "cell": order[cells],
            "nucleus": trimmed,
            "cell_original": cells,
            "nucleus_original": nuclei,
        },
        "whole-cell": {"cell": cells},
        "nuclear": {"nucleus": nuclei},
        "empty": {"cell": cells * 0, "nucleus": cells * 0},
    }
    folder = samples_folder
    image = np.moveaxis(tissue.image[[0, 2]], 0, -1)
    stores = {name: ingest_image(folder / name, image[..., :n]) for name, n in (("a", 2), ("b", 1))}
    return {
        kind: described(
            folder / kind, stores["b" if kind == "nuclear" else "a"], kind, masks[kind], tissue
        )
        for kind in KINDS
    }


def described(folder: Path, store: Path, kind: str, images: dict, tissue) -> dict:
    folder.mkdir()
    masks = {name: folder / f"{name}.ome.tif" for name in images}
    for name, path in masks.items():
        write_label_image(path, images[name], 0.5, name)
    table = write_table(folder / "t.parquet", rows_of(images, 0.5))
    rows = read_cells(table, "sample")
    counts = {}
    for name, objects in (("cell", "cells"), ("nucleus", "nuclei")):
        mask = images.get(f"{name}_original", images.get(name))
        if mask is not None:
            counts[f"n_{objects}"] = len(np.unique(mask[mask > 0]))
    n_objects = dict(counts)
    if kind == "both":
        n = int(images["cell"].max())
        counts |= {"n_matched": n, "n_by_status": {"matched": n}}
        counts |= {
            f"{name}_matched_fraction": n / counts[f"n_{objects}"]
            for name, objects in (("cell", "cells"), ("nucleus", "nuclei"))
        }
    counts |= {f"n_uncertified_{name[2:]}": 0 for name in n_objects} | {"n_unproved_patches": 0}
    found = kind != "empty"
    patches = pd.DataFrame(
        {
            **{"x0": [0, 210], "y0": [0, 0], "width": [210, 210], "height": [300, 300]},
            **{"is_informative": found, "certified": True, "reason": None if found else "constant"},
            **{
                name: [n - 1, 1] if found else [0, 0]
                for name, n in counts.items()
                if name in ("n_cells", "n_nuclei")
            },
        }
    )
    provenance = {
        "model": {"name": "Mesmer"},
        "steps": [
            {
                "step": "PATCH",
                "cellquilt": "0.1.0",
                "parameters": {"patch_size": 384, "limits": {"low": [1, 2], "high": None}},
                "software": {"numpy": "2.0"},
            }
        ],
    }
    facts = {"sample": "sample", "image": {"name": "slide", "height": 300, "width": 420}}
    truth = {"cell_truth": masks["cell_original"]} if kind == "both" else {}
    summary = summarise(facts, counts, masks, truth, "overlay.png")
    first = {name: images[name] for name in ("cell", "nucleus") if name in images}
    # The two channels that are segmented come first
    chosen = tissue.image[[0, 2, 1, 3, 4, 5]], [tissue.channels[k] for k in (0, 2, 1, 3, 4, 5)]
    markers = markers_of(*chosen, first, 0.5)
    summary |= FLAGGED if kind == "both" else {}
    with read_store(store) as group:
        view = view_slide(group, masks, rows)
        checks = figures.describe(group, table, patches)
        report = describe(view, rows, patches, counts, summary, provenance, {}, markers, checks)
    named = {"sample": kind, "summary": summary | {"sample": kind}}
    return json.loads(json.dumps(report | named))
