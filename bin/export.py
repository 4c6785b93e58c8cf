#!/usr/bin/env python3
"""Write a sample's cells in the formats that other tools open."""

from pathlib import Path

from cellquilt import cli, exports
from cellquilt.cells import cell_table
from cellquilt.images.label_image import by_name


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--table", type=Path, required=True, help=".parquet of QUANTIFY")
    args.add_argument("--masks", type=Path, nargs="+", required=True, help="*.ome.tif")
    args.add_argument("--formats", default="csv,h5ad,geojson", help=",".join(exports.FORMATS))
    args.add_argument(
        "--cells",
        choices=cell_table.WHICH,
        default="matched",
        help="cells with a nucleus, or those without one too",
    )
    args.add_argument("--outdir", type=Path, required=True, help="folder of the sample")
    o = args.parse_args()
    formats = exports.parse(o.formats)
    with cell_table.open_cells(o.table, by_name(o.masks), o.cells) as cells:
        exports.export(cells, formats, o.outdir)


if __name__ == "__main__":
    cli.run(main)
