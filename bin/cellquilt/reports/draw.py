"""What is drawn of one sample: its overlay, its summary, and its part of the run's report."""

from pathlib import Path

from .. import outputs
from ..cells import cell_table, flags
from ..handoff import stores
from ..handoff.step_files import read_counts, read_patches, read_provenance
from ..images.label_image import by_name
from ..quality import figures
from . import overlay, sample_page, sample_report
from .slide_view import view_slide
from .summary import summarise

OVERLAY = "overlay.png"


def draw(
    store: Path,
    table: Path,
    patches: Path,
    provenance: Path,
    counts: list[Path],
    masks: list[Path],
    truth: list[Path],
    outdir: Path,
    sample: str | None = None,
) -> None:
    """Write overlay.png, summary.json, report.json and report.html of a sample.

    Equal input gives equal files, whatever was drawn before in the same process.

    Parameters
    ----------
    store : Path
        INGEST's store of the normalised slide.
    table : Path
        Table of cells, of QUANTIFY.
    patches : Path
        patches_metadata.csv of STITCH.
    provenance : Path
        provenance.json of STITCH.
    counts : list of Path
        Counts of STITCH and, where both compartments are there, metrics of REPAIR.
    masks : list of Path
        Label images ``{cell,nucleus}[_original].ome.tif``; others are not drawn.
    truth : list of Path
        ``{cell,nucleus}_truth.ome.tif``, as far as they are there.
    outdir : Path
        Folder of the sample's results, made where it is missing.
    sample : str, optional
        See `step_files.read_facts`.

    Raises
    ------
    DataError
        If an input is damaged, or is not of this sample.
    """
    images = by_name(masks)
    numbers = {key: n for path in counts for key, n in read_counts(path).items()}
    with stores.read(store) as group:
        facts = group.attrs["facts"]
        if sample and sample != facts["sample"]:
            facts |= {"sample": sample, "slide": facts["sample"]}
        rows = sample_report.read_cells(table, facts["sample"])
        found = summarise(facts, numbers, images, by_name(truth), OVERLAY)
        of_table = cell_table.read_facts(table)
        found["notices"] += of_table.get("notices", [])
        found |= flags.counts(rows, of_table, table)
        asked = cell_table.asked_of(of_table)
        found |= asked.stated() if asked else {}
        view = view_slide(group, images, rows, facts)
        patches_of = read_patches(patches, "STITCH")
        report = sample_report.describe(
            view,
            rows,
            patches_of,
            numbers,
            found,
            read_provenance(provenance),
            cell_table.own_columns(of_table, table),
            cell_table.read_markers(table),
            figures.describe(group, table, patches_of),
        )
        outdir.mkdir(parents=True, exist_ok=True)
        with outputs.whole(outdir / OVERLAY) as path:
            overlay.draw_overlay(path, view, found)
    outputs.write_json(outdir / "summary.json", found)
    outputs.write_json(outdir / "report.json", report, indent=None)
    outputs.write_text(outdir / "report.html", sample_page.render(report))
