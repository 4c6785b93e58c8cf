#!/usr/bin/env python3
"""Write the cells of samples in the formats that other tools open."""

from pathlib import Path

from cellquilt import cli, exports
from cellquilt.cells import cell_table
from cellquilt.images.label_image import masks_of


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--tables", type=Path, nargs="+", required=True, help=".parquet of QUANTIFY")
    args.add_argument(
        "--masks",
        type=Path,
        nargs="+",
        required=True,
        help="*.ome.tif of one sample; of several, their folders, named <segmenter>-<sample>",
    )
    args.add_argument("--formats", default="csv,h5ad,geojson", help=",".join(exports.FORMATS))
    args.add_argument(
        "--cells",
        choices=cell_table.WHICH,
        default="matched",
        help="cells with a nucleus, of these those without flags, or all cells",
    )
    cli.add_refusals(args)
    cli.add_cpus(args)
    args.add_argument("--outdir", type=Path, default=Path(), help="folder of the samples' folders")
    o = args.parse_args()
    formats = exports.parse(o.formats)
    for table in o.tables:
        with cli.refused_by("EXPORT", table.stem, o.refusals):
            facts = cell_table.read_facts(table)
            masks = masks_of(o.masks, facts["sample"], facts["segmenter"])
            with cell_table.open_cells(table, masks, o.cells) as cells:
                exports.export(cells, formats, o.outdir / facts["sample"], o.cpus)


if __name__ == "__main__":
    cli.run(main)
