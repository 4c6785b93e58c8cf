"""From maps to labels: equal to deepcell_toolbox's deep_watershed, including label numbers."""

import json
from dataclasses import asdict, fields, replace

import numpy as np
import pytest

from cellquilt.labelling.thresholds import Thresholds
from cellquilt.labelling.watershed import label_cells, smooth
from cellquilt.segmenters import mesmer

CHANGES = [
    {"maxima_threshold": 0.01},
    {"maxima_threshold": 0.3},
    {"interior_threshold": 0.05},
    {"interior_threshold": 0.6},
    {"interior_smooth": 0},
    {"interior_smooth": 3.5},
    {"small_objects_threshold": 0},
    {"small_objects_threshold": 1},
    {"small_objects_threshold": 150},
    {"fill_holes_threshold": 0},
    {"fill_holes_threshold": 1},
    {"fill_holes_threshold": 90},
    {"radius": 1},
    {"radius": 7},
]
THRESHOLDS = {
    f"{name}, {change or 'defaults'}": replace(defaults, **change)
    for name, defaults in (
        ("whole-cell", mesmer.THRESHOLDS["cell"]),
        ("nuclear", mesmer.THRESHOLDS["nucleus"]),
    )
    for change in ({}, *CHANGES)
}
MAPS = ["real", "coarse", "holes"]
ODD = {
    "no cells": np.zeros((60, 70, 2), np.float32),
    "all one cell": np.ones((60, 70, 2), np.float32),
    "peaks outside cells": np.dstack([np.eye(64, dtype=np.float32), np.zeros((64, 64))]),
    "cells without peaks": np.dstack([np.zeros((64, 64)), np.eye(64, dtype=np.float32)]),
}


@pytest.fixture(scope="module")
def maps(mesmer_predictions):
    """Return maps by kind and compartment."""
    whole = mesmer_predictions["generated tissue"]["maps"][100:350, 80:400]
    both = {"whole-cell": whole[..., :2], "nuclear": whole[..., 2:]}
    found = {}
    for compartment, real in both.items():
        rng = np.random.default_rng(1)
        pits = (rng.random(real.shape[:2]) < 0.002) * rng.uniform(5, 40, real.shape[:2])
        found["real", compartment] = real
        found["coarse", compartment] = np.round(real, 1)  # plateaus and ties
        found["holes", compartment] = (real - pits[..., None] * [0, 1]).astype(np.float32)
    return {key: np.ascontiguousarray(value) for key, value in found.items()}


@pytest.fixture(scope="module")
def reference(deepcell, maps):
    """What deep_watershed makes of every case."""
    cases = {}
    for name, thresholds in THRESHOLDS.items():
        parameters = json.dumps({**asdict(thresholds), "maxima_smooth": 0})
        for kind in MAPS:
            cases[f"{kind} {name}"] = {
                "maps": maps[kind, name.split(",")[0]],
                "parameters": parameters,
            }
    for name, odd in ODD.items():
        cases[name] = {"maps": odd, "parameters": json.dumps(asdict(mesmer.THRESHOLDS["cell"]))}
    return {name: found["labels"] for name, found in deepcell("watershed", cases).items()}


def labels_of(maps, thresholds):
    maxima, interior = np.moveaxis(maps, -1, 0)
    return label_cells(maxima, smooth(interior, thresholds), thresholds)


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("name", THRESHOLDS)
def test_labels_are_those_of_deep_watershed(reference, maps, kind, name):
    labels, markers = labels_of(maps[kind, name.split(",")[0]], THRESHOLDS[name])
    assert np.array_equal(labels, reference[f"{kind} {name}"])
    assert len(markers) == labels.max() > 10


@pytest.mark.parametrize("name", ODD)
def test_maps_without_cells_are_labelled_as_by_deep_watershed(reference, name):
    labels, markers = labels_of(ODD[name], mesmer.THRESHOLDS["cell"])
    assert np.array_equal(labels, reference[name])
    assert len(markers) == labels.max()


# The median filter is for class probabilities
OF_DEEPCELL = {field.name for field in fields(Thresholds)} - {"median"}


@pytest.mark.parametrize("parameter", sorted(OF_DEEPCELL))
def test_the_cases_above_would_tell_a_parameter_that_is_not_used(reference, parameter):
    assert any(
        not np.array_equal(
            reference[f"{kind} whole-cell, {change}"], reference[f"{kind} whole-cell, defaults"]
        )
        for kind in MAPS
        for change in CHANGES
        if parameter in change
    )
