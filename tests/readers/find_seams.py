"""Find cells that were cut at tile borders, with squidpy's quality control of tiled segmentations.

Runs in the readers' environment, see tests/exports/test_readers.py. Arguments: a .npz of label
images, and the JSON to write: for each image by name the number of cells, the labels of the
outliers, and the cut score of each label.
"""

import json
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import spatialdata  # noqa: E402
import squidpy  # noqa: E402
from spatialdata.models import Labels2DModel  # noqa: E402


def seams(labels: np.ndarray) -> dict:
    model = Labels2DModel.parse(labels.astype(np.int32), dims=("y", "x"))
    data = spatialdata.SpatialData(labels={"cells": model})
    table = squidpy.experimental.tl.calculate_tiling_qc(data, "cells", inplace=False)
    scores = table.obs.set_index("label_id") if "label_id" in table.obs else table.obs
    outliers = scores.index[scores["is_outlier"].astype(bool)].astype(int)
    cut = dict(zip(map(str, scores.index.astype(int)), scores["cut_score"].tolist(), strict=True))
    return {"n": len(scores), "outliers": outliers.tolist(), "cut_score": cut}


def main() -> None:
    with np.load(sys.argv[1]) as images:
        found = {name: seams(images[name]) for name in images.files}
    Path(sys.argv[2]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
