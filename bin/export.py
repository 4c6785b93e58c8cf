#!/usr/bin/env python3
"""EXPORT: write a sample's cells in the formats that other tools open."""

import time
from pathlib import Path

from cellquilt import exports
from cellquilt.cells import cell_table
from cellquilt.cli import log, parser, run
from cellquilt.images.label_image import by_name


def main() -> None:
    """Read table and masks once, and write each format."""
    arguments = parser(__doc__)
    arguments.add_argument("--table", type=Path, required=True, help=".parquet of QUANTIFY")
    arguments.add_argument("--masks", type=Path, nargs="+", required=True, help="*.ome.tif")
    arguments.add_argument("--formats", default="csv,h5ad,geojson", help=",".join(exports.FORMATS))
    arguments.add_argument(
        "--cells",
        choices=cell_table.WHICH,
        default="matched",
        help="cells with a nucleus, or those without one too",
    )
    arguments.add_argument("--outdir", type=Path, required=True, help="folder of the sample")
    args = arguments.parse_args()
    formats = exports.parse(args.formats)
    masks = by_name(args.masks)
    with cell_table.open_cells(args.table, masks, args.cells) as cells:
        sample = cells.facts["sample"]
        log.info("export: %s: %d cells to %s", sample, len(cells.rows), ", ".join(formats))
        for name in formats:
            if name in exports.OF_BOTH_COMPARTMENTS and len(cells.masks) < 2:
                log.warning(
                    "export: %s: no %s, which needs cells and nuclei; segment both compartments.",
                    *(sample, name),
                )
                continue
            start = time.monotonic()
            path = exports.writer(name)(cells, args.outdir)
            seconds = time.monotonic() - start
            log.info("export: %s: %s, %.1f s, %d bytes", name, path.name, seconds, size(path))


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    run(main)
