"""The compartments of a cell, and what they are called.

Parameters and the cards of networks say what a segmentation is of: ``whole-cell`` or ``nuclear``.
Everywhere else its objects are ``cell`` and ``nucleus``.
"""

from __future__ import annotations

from collections.abc import Collection

# What can be segmented, and the plural of its name
PLURALS = {"cell": "cells", "nucleus": "nuclei"}
# What is measured where both are segmented
MEASURED = (*PLURALS, "cytoplasm")
# The values of --compartment for one of them, and all values
OPTIONS = {"whole-cell": "cell", "nuclear": "nucleus"}
CHOICES = (*OPTIONS, "both")


def segmented(option: str) -> tuple[str, ...]:
    """Return the compartments that a value of ``--compartment`` stands for."""
    return tuple(PLURALS) if option == "both" else (OPTIONS[option],)


def option_of(compartments: Collection[str]) -> str:
    """Return the value of ``--compartment`` that stands for these compartments."""
    return next(option for option in CHOICES if set(segmented(option)) == set(compartments))


def parameter_of(compartment: str) -> str:
    """Return how the pipeline's parameters for a compartment begin, such as ``whole_cell``."""
    return option_of([compartment]).replace("-", "_")
