#!/usr/bin/env python3
"""Write the cells of samples in the formats that other tools open."""

from contextlib import ExitStack
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
    text = "channels of the slide that its labels are written beside, separated by ';', or all"
    args.add_argument("--export_image", default="", help=text)
    text = "all files of the slide, for that and for the viewer"
    args.add_argument("--image", type=Path, nargs="+", help=text)
    text = "patches_metadata.csv of STITCH or ADOPT, for the viewer"
    args.add_argument("--patches", type=Path, help=text)
    args.add_argument("--facts", type=Path, help="sample.json of INGEST, with --patches")
    cli.add_refusals(args)
    cli.add_cpus(args)
    args.add_argument("--outdir", type=Path, default=Path(), help="folder of the samples' folders")
    o = args.parse_args()
    formats = exports.parse(o.formats)
    shows = bool(o.export_image or exports.SHOWING.intersection(formats))
    if shows and (not o.image or len(o.tables) > 1):
        what = "--export_image" if o.export_image else "--formats viewer"
        args.error(f"{what} is of one slide: give one of --tables, and its files as --image")
    if bool(o.patches) != bool(o.facts):
        args.error("--patches and --facts go together: give both, or none")
    for table in o.tables:
        with cli.refused_by("EXPORT", table.stem, o.refusals), ExitStack() as files:
            facts = cell_table.read_facts(table)
            masks = masks_of(o.masks, facts["sample"], facts["segmenter"])
            cells = files.enter_context(cell_table.open_cells(table, masks, o.cells))
            picture = None
            if shows:
                from cellquilt.exports.picture import open_picture  # with the readers of slides
                from cellquilt.exports.viewer.places import read_places

                places = read_places(o.patches, o.facts, facts["sample"]) if o.patches else None
                opened = open_picture(o.image, table, cells.facts, o.export_image or "all", places)
                picture = files.enter_context(opened)
            chosen = bool(o.export_image)
            exports.export(cells, formats, o.outdir / facts["sample"], o.cpus, picture, chosen)


if __name__ == "__main__":
    cli.run(main)
