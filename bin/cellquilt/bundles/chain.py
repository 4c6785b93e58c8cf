"""All steps of small slides, one slide after the other, in a process that keeps the network.

Of each slide there are the files that its steps would have written as tasks of their own.
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from .. import compartments, outputs
from ..cells.measures import ONLY_MEAN, Asked
from ..cells.repair import repair
from ..cells.sample_table import write_table
from ..errors import DataError, SlideError, reason
from ..handoff.step_files import read_facts, read_patches, read_regions, read_uncertified
from ..images.label_image import by_name, masks_folder
from ..labelling.arriving import labelled
from ..labelling.label import Wanted
from ..labelling.slide_masks import write_masks
from ..masks.adopt import adopt
from ..reports.contrast import contrast
from ..reports.draw import draw
from ..segmenters import OWN, Runner
from ..slides.ingest import ingest
from ..slides.readers import open_slide
from ..tiling.tasks import Cut, plan_tasks
from .slide import Combining, Slide

log = logging.getLogger("cellquilt")

# Where a step's errors are about its slide; all others are about the run, which they end
_ABOUT_A_SLIDE = {
    "INGEST": DataError,
    "SEGMENT": SlideError,
    "STITCH": SlideError,
    "ADOPT": DataError,
    "REPAIR": DataError,
    "QUANTIFY": DataError,
    "DRAW": DataError,
    "CONTRAST": DataError,
}


@dataclass(frozen=True)
class Settings:
    """What is the same for all slides.

    Attributes
    ----------
    channels : Combining
    cut : Cut
    thresholds : dict
        As of `labelling.label.Wanted`.
    export_pickle : bool
        See `cells.repair.repair`.
    limits : dict
        See `cells.quantify.quantify`.
    max_pixels : int
        A slide with more is left to the steps.
    to_table : bool
        Whether cells are measured and drawn, too, or masks are the end.
    expand_um : float, optional
        See `labelling.slide_masks.write_masks`.
    measures : Asked
        See `cells.quantify.quantify`.
    """

    channels: Combining = Combining()
    cut: Cut = Cut()
    thresholds: Mapping[str, dict] = field(default_factory=dict)
    export_pickle: bool = False
    limits: Mapping[str, float] = field(default_factory=dict)
    max_pixels: int = 20_000_000
    to_table: bool = True
    expand_um: float | None = None
    measures: Asked = ONLY_MEAN


class _Refused(Exception):
    """A step's error that is about the slide."""

    def __init__(self, step: str, error: DataError):
        super().__init__(str(error))
        self.step, self.error = step, error


@contextmanager
def _during(step: str) -> Iterator[None]:
    try:
        yield
    except _ABOUT_A_SLIDE[step] as error:
        raise _Refused(step, error) from error


def chain(
    slides: Sequence[Slide],
    settings: Settings,
    load: Callable[[str], Runner],
    outdir: Path,
    refuse: Callable[[str, str, DataError], None],
) -> list[str]:
    """Do all steps of each slide.

    Parameters
    ----------
    slides : list of Slide
    settings : Settings
    load : callable
        Returns the segmenter of a name; called once a slide needs it, and may be called again.
    outdir : Path
        Folder of the samples' folders. In ``_reports/<sample>`` goes what REPORT reads. Where a
        slide has several results, its own folder has ``sample.json`` and their comparison.
    refuse : callable
        Takes sample, step and error of a slide that cannot be used. What the steps before wrote of
        it stays, as it does where they are tasks of their own.

    Returns
    -------
    list of str
        The slides that are left to the steps: they have too many pixels, or there was an error
        that is none of the slide's, and of which a task of its own tells more. They have no files.

    Raises
    ------
    DataError
        Where it is about the run, such as networks that do not fit.
    OSError
        If the disk is full or fails.
    """
    left = []
    groups = [list(group) for _, group in groupby(slides, key=lambda slide: slide.name)]
    for number, group in enumerate(groups, 1):
        slide = group[0]
        log.info("chain: %s, slide %d of %d", slide.name, number, len(groups))
        names = {slide.name, *(one.sample for one in group)}
        try:
            if not _is_small(slide, settings):
                log.info("chain: %s has too many pixels and is left", slide.name)
                left.append(slide.name)
                continue
            for name in names:
                (outdir / name).mkdir(parents=True)
            with TemporaryDirectory(prefix=".chain-", dir=outdir) as work:
                _chain_one(group, settings, load, outdir, Path(work), refuse)
        except _Refused as refused:
            refuse(slide.name, refused.step, refused.error)
        except DataError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in outputs.OF_THE_DISK:
                raise
            log.warning("chain: %s is left: %s", slide.name, reason(error), exc_info=True)
            left.append(slide.name)
            for name in names:
                for made in (outdir / name, outdir / "_reports" / name):
                    shutil.rmtree(made, ignore_errors=True)
    return left


def _is_small(slide: Slide, settings: Settings) -> bool:
    with (
        _during("INGEST"),
        open_slide(slide.images, slide.selection(settings.channels.axis)) as opened,
    ):
        return opened.height * opened.width <= settings.max_pixels


def _chain_one(
    results: Sequence[Slide],
    settings: Settings,
    load: Callable[[str], Runner],
    outdir: Path,
    work: Path,
    refuse: Callable[[str, str, DataError], None],
) -> None:
    """Do the steps of a slide; what they hand to each other goes to `work`.

    What is refused of one of several results is no matter of the others.
    """
    slide, store = results[0], work / "normalised.zip"
    known = outdir / slide.name / "sample.json"
    with _during("INGEST"):
        outputs.write_json(known, ingest(slide.request(settings.channels), store))
    cuts, finished = {}, []
    for tiles in dict.fromkeys(result.tiles for result in results):
        cuts[tiles] = work / f"{tiles.tile}-{tiles.stride}"
        cuts[tiles].mkdir()
        is_own = all(result.segmenter == OWN for result in results if result.tiles == tiles)
        table = plan_tasks(store, cuts[tiles], replace(settings.cut, tiles=tiles), is_own)
        outputs.write_csv(cuts[tiles] / "patches.csv", table)
    for result in results:
        try:
            _finish(result, settings, load, known, store, outdir, cuts[result.tiles])
            finished.append(result)
        except _Refused as refused:
            if len(results) == 1:
                raise
            refuse(result.sample, refused.step, refused.error)
    if settings.to_table and len(finished) > 1:
        with _during("CONTRAST"):
            contrast(
                store, [_contrasted(result, outdir) for result in finished], outdir / slide.name
            )


def _contrasted(result: Slide, outdir: Path) -> tuple[Path, list[Path]]:
    """Return a result's report and masks."""
    masks = masks_folder(outdir / result.sample, result.sample, result.segmenter)
    return outdir / "_reports" / result.sample / "report.json", sorted(masks.glob("*.ome.tif"))


def _finish(
    slide: Slide,
    settings: Settings,
    load: Callable[[str], Runner],
    known: Path,
    store: Path,
    outdir: Path,
    work: Path,
) -> None:
    """Do the steps after PATCH of one of a slide's results."""
    folder, report = outdir / slide.sample, outdir / "_reports" / slide.sample
    facts = read_facts(known, needs_image=True, sample=slide.sample)
    patches = read_patches(work / "patches.csv", "PATCH")
    is_own = slide.segmenter == OWN
    if is_own:
        with _during("ADOPT"):
            adopt(slide.own_masks, facts, patches, folder, expand_um=settings.expand_um)
    else:
        _segment(slide, settings, load, facts, patches, folder, work)
    masks = masks_folder(folder, slide.sample, slide.segmenter)
    doubtful = None if is_own else folder / "uncertified.csv"
    counts, matches = [folder / "stitch.json"], None
    regions = folder / "regions.csv" if slide.roi else None
    if slide.compartment == "both":
        found = by_name(sorted(masks.glob("*.ome.tif")))
        pair = found["cell_original"], found["nucleus_original"]
        with _during("REPAIR"):
            repair(
                *pair,
                facts,
                doubtful and read_uncertified(doubtful),
                slide.segmenter,
                folder,
                settings.export_pickle,
                regions=regions and read_regions(regions),
            )
        counts.append(folder / "repair_metrics.json")
        matches = folder / "matches.csv"
    if not settings.to_table:
        return

    images = sorted(masks.glob("*.ome.tif"))
    provenance = folder / "provenance.json"
    patches_of = folder / "patches_metadata.csv"
    with _during("QUANTIFY"):
        table = write_table(
            slide.images,
            known,
            provenance,
            doubtful,
            patches_of,
            images,
            matches,
            slide.segmenter,
            slide.columns,
            settings.limits,
            folder,
            regions=regions,
            sample=slide.sample,
            asked=settings.measures,
        )
    with _during("DRAW"):
        inputs = store, table, patches_of, provenance, counts, images, slide.truth
        draw(*inputs, folder, slide.sample)
    report.mkdir(parents=True)
    (folder / "report.json").rename(report / "report.json")


def _segment(
    slide: Slide,
    settings: Settings,
    load: Callable[[str], Runner],
    facts: dict,
    patches: pd.DataFrame,
    folder: Path,
    work: Path,
) -> None:
    """Do the steps from SEGMENT to STITCH."""
    by_network = slide.segmented or slide.compartment
    wanted = Wanted(compartments.segmented(by_network), settings.thresholds)
    labels = []
    for pixels in sorted(work.glob("task-*.pixels.zip")):
        labels.append(work / pixels.name.replace("pixels", f"{slide.segmenter}.labels"))
        with _during("SEGMENT"):
            load(slide.segmenter).segment(pixels, by_network, labelled(labels[-1], wanted, 0))
    with _during("STITCH"):
        how = slide.compartment, slide.segmenter, folder
        write_masks(labels, patches, facts, *how, expand_um=settings.expand_um)
