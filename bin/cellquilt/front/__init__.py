"""Cellquilt from Python, see docs/python.md: arrays in, arrays out, by the functions of the steps.

A function's module, and with it the libraries that it needs, is loaded once it is asked for.
"""

from importlib import import_module

_MODULES = {
    "label": "labelled",
    "quantify": "measured",
    "read_results": "results",
    "repair": "matched",
    "segment": "segmented",
}


def __getattr__(name: str) -> object:
    """Return a function."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
