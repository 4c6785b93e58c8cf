"""The table of a sample's cells, from the files that the steps before wrote."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from ..handoff.step_files import (
    read_facts,
    read_matches,
    read_patch_flags,
    read_provenance,
    read_regions,
    read_uncertified,
)
from ..images.label_image import by_name
from ..slides.readers import reopen_slide
from .measures import ONLY_MEAN, Asked
from .objects import check_masks, open_objects
from .quantify import quantify

log = logging.getLogger("cellquilt")


def write_table(
    image: Path | Sequence[Path],
    facts: Path,
    provenance: Path,
    uncertified: Path | None,
    patches: Path | None,
    masks: Sequence[Path],
    matches: Path | None,
    segmenter: str,
    own: Mapping[str, str | float | None],
    limits: Mapping[str, float],
    outdir: Path,
    cpus: int = 1,
    regions: Path | None = None,
    sample: str | None = None,
    asked: Asked = ONLY_MEAN,
) -> Path:
    """Measure every cell of a sample over all channels of its slide.

    Parameters
    ----------
    image : Path or sequence of Path
        The slide.
    facts : Path
        sample.json of INGEST.
    provenance : Path
        provenance.json of STITCH.
    uncertified : Path or None
        uncertified.csv of STITCH; None of masks of one's own, of which nothing is proved.
    patches : Path or None
        patches_metadata.csv of STITCH; without it no patch flags its cells.
    masks : list of Path
        Label images.
    matches : Path or None
        matches.csv of REPAIR; None of a single compartment.
    segmenter : str
        Which made the maps.
    own : dict
        The user's columns, see `cell_table.read_columns`.
    limits : dict
        See `quantify.quantify`.
    outdir : Path
        Folder of the sample.
    cpus : int
        See `quantify`.
    regions : Path, optional
        regions.csv of STITCH, for a single compartment; matches.csv has the regions of both.

    sample : str, optional
        See `step_files.read_facts`.
    asked : Asked
        What is measured of each channel.

    Returns
    -------
    Path
        ``quantification/<sample>.parquet`` in `outdir`; see `cell_table`.

    Raises
    ------
    DataError
        If a file cannot be read, or is not of this sample; else as `quantify`.
    """
    known = read_facts(facts, needs_image=True, sample=sample)
    steps = read_provenance(provenance)["steps"]
    doubtful = uncertified and read_uncertified(uncertified)
    states = patches and read_patch_flags(patches)
    table = outdir / "quantification" / f"{known['sample']}.parquet"
    table.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        slide = files.enter_context(reopen_slide(image, known))
        areas = regions and read_regions(regions)
        pairs = matches and read_matches(matches)
        objects = open_objects(files, by_name(masks), pairs, doubtful, areas)
        del pairs
        check_masks(objects, known)
        more = {"patches": states, "limits": limits, "cpus": cpus, "asked": asked}
        quantify(slide, objects, known, segmenter, steps, table, own=own, **more)
    log.info(
        "quantify: %s: %d objects, %d channels",
        known["sample"],
        len(objects.rows),
        len(slide.channels),
    )
    return table
