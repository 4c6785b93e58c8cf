"""What Cellquilt's scripts share, one module a subject; nothing here knows Nextflow.

Importing the package imports nothing else, since MODEL runs it in an older Python
than every other step. The functions for use from Python are loaded once they are asked for.
"""

__version__ = "0.1.0"
# What `front` has, see docs/python.md
__all__ = ["label", "quantify", "read_results", "repair", "segment"]


def __getattr__(name: str) -> object:
    """Return a function of `front`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import front

    return getattr(front, name)


def __dir__() -> list[str]:
    """Return the names, with those of the functions that are not loaded yet."""
    return sorted({*globals(), *__all__})
