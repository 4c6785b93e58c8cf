"""Open tables with whichever anndata is installed; write what it found as JSON.

Runs in the environments of the readers, see tests/exports/test_anndata.py; uses no code of this
repository. Arguments: the .h5ad files, and the JSON to write.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import anndata
import numpy as np
import pandas as pd


def values(column: pd.Series) -> list:
    return [
        None if missing else value for value, missing in zip(column, column.isna(), strict=True)
    ]


def plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def described(path: str) -> dict:
    table = anndata.read_h5ad(path)
    frames = {"obs": table.obs, "var": table.var}
    return {
        "names": {part: frame.index.tolist() for part, frame in frames.items()},
        "columns": {
            part: {name: values(frame[name]) for name in frame} for part, frame in frames.items()
        },
        "X": np.asarray(table.X).tolist(),
        "layers": {name: table.layers[name].tolist() for name in table.layers if name},
        "spatial": table.obsm["spatial"].tolist(),
        "uns": {key: plain(value) for key, value in table.uns.items()},
    }


def main() -> None:
    *paths, report = sys.argv[1:]
    tables = {Path(path).name: described(path) for path in paths}
    found = {"version": version("anndata"), "tables": tables}
    Path(report).write_text(json.dumps(found, default=lambda value: value.item()))


if __name__ == "__main__":
    main()
