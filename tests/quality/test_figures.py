"""Figures from tables: pairs, places on glass, densities at borders."""

import numpy as np
import pandas as pd
import pytest

from cellquilt.quality import figures
from cellquilt.tiling.lattice import plan
from cellquilt.tiling.pixel_grid import Grid


def pairs(n: int, **columns) -> pd.DataFrame:
    return pd.DataFrame({"status": ["matched"] * n, "mismatch": 0.0} | columns)


def test_shares_of_pairs_and_of_objects_without_partner():
    rows = pairs(40, mismatch=[0.9] * 10 + [0.1] * 30, cell_area_px=50)
    rows["nucleus_area_before_px"] = [60] * 4 + [40] * 36
    lone = pd.DataFrame(
        {"status": ["extra_nucleus"] * 10 + ["nucleus_taken"] * 5 + ["no_cell"] * 10}
    )
    found = figures._of_pairs(pd.concat([rows, lone], ignore_index=True))
    assert found == {
        "mean_mismatch": pytest.approx(0.3),
        "nuclei_outside": 0.25,
        "extra_nuclei": pytest.approx(10 / 60),
        "nuclei_per_cell": pytest.approx(60 / 45),
        "nuclei_taken": pytest.approx(5 / 45),
        "cells_smaller": 0.1,
    }


def test_few_objects_have_no_figures():
    rows = pairs(figures.MIN_OBJECTS - 1, nucleus_area_um2=40.0)
    assert set(figures._of_pairs(rows).values()) == {None}
    assert figures._of_nuclei(rows, 0.5) == {"nucleus_um2": None}
    assert set(figures._of_pairs(rows.drop(columns="status")).values()) == {None}


def test_the_area_of_nuclei_is_that_before_they_were_trimmed():
    rows = pairs(40, nucleus_area_um2=10.0, nucleus_area_before_px=160)
    assert figures._of_nuclei(rows, 0.5) == {"nucleus_um2": 40}
    alone = pd.DataFrame({"nucleus_area_um2": [30.0] * 40})
    assert figures._of_nuclei(alone, 0.5) == {"nucleus_um2": 30}


def test_where_each_channel_is_brighter():
    facts = {"nuclear": [{"index": 3}], "membrane": [{"index": 0}, {"index": 1}]}
    channels = [{"index": k, "column": f"m{k}"} for k in range(4)]
    means = figures.means_of(facts, channels)
    assert means["nuclear"] == ["nucleus_mean_m3", "cytoplasm_mean_m3"]
    brighter = np.arange(100) < 90
    rows = pairs(100, **{name: np.where(brighter, 2.0, 0.0) for name in ("nucleus_mean_m3",)})
    rows = rows.assign(cytoplasm_mean_m3=1.0, nucleus_mean_m0=1.0, cytoplasm_mean_m0=2.0)
    rows = rows.assign(nucleus_mean_m1=np.where(brighter, 2.0, 0.0), cytoplasm_mean_m1=1.0)
    assert figures._of_means(rows, means) == {"nuclear_inside": 0.9, "membrane_inside": 0.0}
    assert figures._of_means(rows, figures.means_of(facts, [])) == {
        "nuclear_inside": None,
        "membrane_inside": None,
    }


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.8])
def test_objects_on_glass_are_those_in_blocks_without_signal(mpp):
    grid = Grid(600, 900, mpp)
    lattice = plan(*grid.model_shape)
    shape = [-(-(axis.before + axis.size) // 32) for axis in (lattice.rows, lattice.cols)]
    with_signal = np.zeros(shape, bool)
    middle = (lattice.cols.before + grid.model_shape[1] // 2) // 32
    with_signal[:, :middle] = True
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0, 300, 60), rng.uniform(600, 899.9, 40)]) * mpp
    rows = pd.DataFrame(
        {"cell_centroid_x_um": x, "cell_centroid_y_um": rng.uniform(0, 599, 100) * mpp}
    )
    assert figures.on_glass(rows, with_signal, grid) == pytest.approx(0.4)


def density(lost: bool) -> float:
    """Return the figure of objects at random, where every second patch may lack most of its own."""
    rng = np.random.default_rng(0)
    y, x = rng.uniform(0, 1200, (2, 20000))
    row, col = (y // 300).astype(int), (x // 300).astype(int)
    kept = (not lost) | ((row + col) % 2 == 0) | (rng.random(len(y)) < 0.2)
    rows = pd.DataFrame(
        {"nucleus_centroid_y_um": y[kept] * 0.5, "nucleus_centroid_x_um": x[kept] * 0.5}
    )
    corners = np.array([(a, b) for a in range(0, 1200, 300) for b in range(0, 1200, 300)])
    patches = pd.DataFrame({"y0": corners[:, 0], "x0": corners[:, 1], "height": 300, "width": 300})
    return figures.border_jump(rows, patches, 0.5)


def test_density_that_jumps_at_borders_of_patches():
    assert density(lost=False) == pytest.approx(1, abs=0.5)
    assert density(lost=True) > 3
    one = pd.DataFrame({"y0": [0], "x0": [0], "height": [9], "width": [9]})
    assert figures.border_jump(pairs(40), one, 0.5) is None


def test_the_map_of_focus_has_each_patch_with_structure_once():
    focus = [0.2, 0.4, 0.5, 0.9, np.nan]
    patches = pd.DataFrame({"x0": range(5), "y0": 0, "width": 1, "height": 2, "focus": focus})
    classes = figures.focus_map(patches)
    assert [found["n"] for found in classes] == [1, 1, 1, 1]
    assert classes[0]["path"] == "M0 0h1v2h-1z" and classes[0]["least"] is None
    assert [found["n"] for found in figures.focus_map(patches.drop(columns="focus"))] == [0] * 4
