#!/usr/bin/env python3
"""Draw the masks over the slide and summarise the sample."""

from pathlib import Path

from cellquilt import cli, outputs
from cellquilt.cells import cell_table
from cellquilt.handoff import stores
from cellquilt.handoff.step_files import read_counts, read_patches, read_provenance
from cellquilt.images.label_image import by_name
from cellquilt.reports import overlay, sample_report, summary

OVERLAY = "overlay.png"


def main() -> None:
    """Write overlay.png, summary.json and report.json."""
    args = cli.parser(__doc__)
    args.add_argument("--store", type=Path, required=True, help="normalised store of INGEST")
    args.add_argument("--table", type=Path, required=True, help="table of cells, of QUANTIFY")
    args.add_argument("--patches", type=Path, required=True, help="patches_metadata.csv of STITCH")
    args.add_argument("--provenance", type=Path, required=True, help="provenance.json of STITCH")
    args.add_argument(
        "--counts",
        type=Path,
        nargs="+",
        required=True,
        help="counts of STITCH and, where both compartments are there, metrics of REPAIR",
    )
    args.add_argument("--masks", type=Path, nargs="+", required=True, help="label images")
    args.add_argument(
        "--truth", type=Path, nargs="*", default=[], help="{cell,nucleus}_truth.ome.tif"
    )
    args.add_argument("--outdir", type=Path, required=True, help="folder of the sample's results")
    o = args.parse_args()

    with stores.read(o.store) as store:
        facts = store.attrs["facts"]
    masks, truth = by_name(o.masks), by_name(o.truth)
    counts = {key: n for path in o.counts for key, n in read_counts(path).items()}
    rows = sample_report.read_cells(o.table, facts["sample"])
    found = summary.summarise(facts, counts, masks, truth, OVERLAY)
    found["notices"] += cell_table.read_facts(o.table).get("notices", [])
    patches, provenance = read_patches(o.patches, "STITCH"), read_provenance(o.provenance)
    own = cell_table.own_columns(cell_table.read_facts(o.table), o.table)
    report = sample_report.describe(o.store, masks, rows, patches, counts, found, provenance, own)

    o.outdir.mkdir(parents=True, exist_ok=True)
    with outputs.whole(o.outdir / OVERLAY) as path:
        overlay.draw_overlay(path, o.store, masks, rows, found)
    outputs.write_json(o.outdir / "summary.json", found)
    outputs.write_json(o.outdir / "report.json", report, indent=None)
    cli.log.info("draw: %s: %s", facts["sample"], o.outdir / OVERLAY)


if __name__ == "__main__":
    cli.run(main)
