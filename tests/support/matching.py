"""The matching of cells with nuclei by its definition alone, with sets of pixels."""

from fractions import Fraction

import numpy as np
import pandas as pd

from cellquilt.handoff.step_files import STATUSES


def pixels_by_label(image):
    found = {}
    for y, x in np.argwhere(image):
        found.setdefault(int(image[y, x]), set()).add((int(y), int(x)))
    return dict(sorted(found.items()))


def interior(image, pixels):
    height, width = image.shape
    kept = set()
    for y, x in pixels:
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        if all(n in pixels for n in around if 0 <= n[0] < height and 0 <= n[1] < width):
            kept.add((y, x))
    return kept


def centroid(pixels, mpp):
    y = sum(y for y, _ in pixels) / len(pixels)
    x = sum(x for _, x in pixels) / len(pixels)
    return [y, x, y * mpp, x * mpp]


def brute_force(cells, nuclei, mpp):
    """Return the matched masks, table rows as tuples, and metrics, by the definition alone."""
    cell_pixels, nucleus_pixels = pixels_by_label(cells), pixels_by_label(nuclei)
    cell_mask, nucleus_mask = np.zeros_like(cells), np.zeros_like(cells)
    nothing = [None] * 4
    rows, used, mismatches, trimmed_px, label = [], set(), [], [], 0
    for i, pixels in cell_pixels.items():
        inner = interior(cells, pixels)
        candidates = []
        for j in {int(nuclei[p]) for p in pixels} - {0}:
            outside = len(nucleus_pixels[j] - inner)
            mismatch = Fraction(outside, len(nucleus_pixels[j]))
            if mismatch < 1:
                candidates.append((mismatch, j))
        free = [candidate for candidate in candidates if candidate[1] not in used]
        area = len(pixels)
        if not free:
            status = "nucleus_taken" if candidates else "no_nucleus"
            rows.append(
                [None, i, None, status, None, None, None, area, None, None, None, area * mpp**2]
                + [None, *centroid(pixels, mpp), *nothing]
            )
            continue
        mismatch, j = min(free)
        used.add(j)
        label += 1
        before = nucleus_pixels[j]
        kept = before & inner
        for p in pixels:
            cell_mask[p] = label
        for p in kept:
            nucleus_mask[p] = label
        mismatches.append(mismatch)
        trimmed_px.append(len(before) - len(kept))
        rows.append(
            [label, i, j, "matched", float(mismatch), len(before) - len(kept)]
            + [len(kept) / len(before), area, len(kept), len(before), area - len(kept)]
            + [area * mpp**2, len(kept) * mpp**2, *centroid(pixels, mpp), *centroid(kept, mpp)]
        )
    covered = set().union(*cell_pixels.values()) if cell_pixels else set()
    for j, pixels in nucleus_pixels.items():
        if j not in used:
            status = "extra_nucleus" if pixels & covered else "no_cell"
            rows.append(
                [None, None, j, status, None, None, None, None, len(pixels), len(pixels), None]
                + [None, len(pixels) * mpp**2, *nothing, *centroid(pixels, mpp)]
            )
    c, n, m = len(cell_pixels), len(nucleus_pixels), label
    metrics = {
        "n_cells": c,
        "n_nuclei": n,
        "n_matched": m,
        "matched_fraction": m / (c + n - m) if c + n else None,
        "cell_matched_fraction": m / c if c else None,
        "nucleus_matched_fraction": m / n if n else None,
        "mean_mismatch": float(sum(mismatches) / m) if m else None,
        "mean_retained_fraction": float(1 - sum(mismatches) / m) if m else None,
        "n_trimmed": sum(count > 0 for count in trimmed_px),
        "trimmed_px": sum(trimmed_px),
        "n_by_status": {s: sum(row[3] == s for row in rows) for s in STATUSES},
    }
    return cell_mask, nucleus_mask, rows, metrics


def assert_table(table, rows):
    expected = pd.DataFrame(rows, columns=table.columns)
    assert table["status"].tolist() == expected["status"].tolist()
    for name in table.columns.drop("status"):
        found = table[name].to_numpy(float, na_value=np.nan)
        wanted = expected[name].to_numpy(float, na_value=np.nan)
        tolerance = 6e-7 if "fraction" in name or name == "mismatch" else 6e-5
        exact = "label" in name or (name.endswith("_px") and "centroid" not in name)
        np.testing.assert_allclose(
            found, wanted, rtol=0, atol=0 if exact else tolerance, err_msg=name
        )
