#!/usr/bin/env python3
"""Turn Mesmer's weights into the SavedModel that SEGMENT runs (deepcell environment)."""

from pathlib import Path

from cellquilt import cli, mesmer


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--weights", type=Path, required=True, help="SavedModel folder, .tar.gz or .onnx")
    args.add_argument("--outdir", type=Path, required=True, help="folder of the SavedModel")
    options = args.parse_args()
    card = mesmer.prepare_network(options.weights, options.outdir)
    cli.log.info("model: %s, SHA-256 %s", card["weights"], card["weights_sha256"])


if __name__ == "__main__":
    cli.run(main)
