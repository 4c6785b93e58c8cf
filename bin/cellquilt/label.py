"""From the raw maps of a task to the cells that its patches own."""

from dataclasses import asdict
from pathlib import Path

from . import provenance, stores
from .cli import Progress
from .lattice import STRIDE
from .tasks import lattice_of, patches_of
from .watershed import NUCLEAR, WHOLE_CELL, Thresholds, label_core, smooth_reach

COMPARTMENTS = {"whole-cell": ("cell", 0, WHOLE_CELL), "nuclear": ("nucleus", 2, NUCLEAR)}


def compartments_of(compartment: str) -> list[str]:
    """Return the compartments that 'whole-cell', 'nuclear' or 'both' stands for."""
    return list(COMPARTMENTS) if compartment == "both" else [compartment]


def label(maps: Path, thresholds: dict[str, Thresholds], labels: Path) -> None:
    """Label the patches of one task.

    Parameters
    ----------
    maps : Path
        A task's store, as SEGMENT wrote it.
    thresholds : dict
        Compartment ('whole-cell', 'nuclear') to its thresholds; only these are labelled.
    labels : Path
        Store to write: for every patch and compartment ``<patch_id>/<cell|nucleus>/labels``
        (h, w) uint32 over core and halo, holding only the cells that the patch owns, and
        ``markers`` (n, 2) int64, rows and columns on the slide, both in model pixels.
    """
    with stores.read(maps) as task:
        attributes = dict(task.attrs)
        lattice, patches = lattice_of(attributes), patches_of(attributes)
        top = attributes["tile_rows"][0] * STRIDE - lattice.rows.before
        left = attributes["tile_cols"][0] * STRIDE - lattice.cols.before
        attributes["provenance"] = [
            *attributes["provenance"],
            provenance.of_step("LABEL", **{k: asdict(v) for k, v in thresholds.items()}),
        ]
        progress = Progress("label: patches", len(patches))
        with stores.create(labels, attributes) as result:
            for patch in patches:
                window = patch.window(attributes["halo"], lattice)
                for compartment, limits in thresholds.items():
                    name, first_map, _ = COMPARTMENTS[compartment]
                    margin = attributes["halo"] + smooth_reach(limits)
                    y0, y1, x0, x1 = patch.window(margin, lattice)
                    crop = task["maps"][
                        first_map : first_map + 2, y0 - top : y1 - top, x0 - left : x1 - left
                    ]
                    core = (patch.y0, patch.y1, patch.x0, patch.x1)
                    cells, markers = label_core(*crop, (y0, x0), window, core, limits)
                    where = f"{patch.patch_id}/{name}"
                    for array, values in (("labels", cells), ("markers", markers)):
                        stores.new_array(
                            result, f"{where}/{array}", values.shape, values.dtype, values.shape
                        )[:] = values
                progress.add(pixels=(patch.y1 - patch.y0) * (patch.x1 - patch.x0))
