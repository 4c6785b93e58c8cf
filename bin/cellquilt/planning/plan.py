"""What a run will cost: tasks, processor time, memory and bytes, from the headers of its slides.

A plan takes tissue to be everywhere, of a slide with regions of interest everywhere in these: glass
that is skipped costs less.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from ..compartments import segmented
from ..tiling.lattice import DEFAULT as MESMERS_TILES
from ..tiling.lattice import Geometry
from ..tiling.lattice import plan as lattice_of
from ..tiling.patches import (
    SMOOTHING_REACH,
    block_shape,
    cuts,
    group_patches,
    plan_patches,
    tiles_of,
)
from ..tiling.pixel_grid import Grid
from ..tiling.regions import Regions
from ..tiling.tasks import Cut, beyond_regions
from .figures import BY_TILE, Figures

# Of a slide that takes the steps of large ones, in the order of the flow
_STEPS = (
    *("INGEST", "PATCH", "SEGMENT", "DETECT", "CLASSIFY", "INFER", "LABEL"),
    *("STITCH", "ADOPT", "REPAIR"),
    *("QUANTIFY", "EXPORT", "DRAW"),
)
ORDER = ("CHAIN", *_STEPS)
_NETWORK_STEPS = {
    "mesmer": "SEGMENT",
    "nuclei": "DETECT",
    "pixelcnn": "CLASSIFY",
    "network": "INFER",
}
_MOST_PATCHES = 1_000_000  # more, which no slide has, are not looked at one by one
_CHAINED = tuple(step for step in _STEPS if step != "EXPORT")
_OF_ONE_SLIDE = {"viewer"}  # formats that show the slide, so that each has a task of EXPORT


@dataclass(frozen=True)
class Settings:
    """What is the same for all slides.

    Attributes
    ----------
    n_networks : int
        Pixel classifiers, of both compartments together.
    device : {'cpu', 'gpu'}
    keeps_maps : bool
        Whether LABEL has tasks, or the network's tasks label.
    formats : tuple of str
        Of EXPORT.
    max_pixels : int
        A slide with more has tasks of its own.
    cut : Cut
    n_measures : int
        Of each channel and compartment, the mean among them.
    with_ring : bool
        Whether they are also those of a ring inside the outline of cells.
    """

    n_networks: int = 2
    device: str = "cpu"
    keeps_maps: bool = True
    formats: tuple[str, ...] = ("csv", "h5ad", "geojson")
    max_pixels: int = 20_000_000
    cut: Cut = Cut()
    n_measures: int = 1
    with_ring: bool = False


@dataclass(frozen=True)
class Work:
    """What there is of a slide to segment.

    Attributes
    ----------
    height, width : int
        Pixels.
    image_mpp : float
        um/px.
    n_channels, n_read : int
        Channels of the image, and how many of them are segmented.
    compartment : {'whole-cell', 'nuclear', 'both'}
    bundle : str, optional
        Small slides with the same one share tasks.
    regions : Regions, optional
        Of interest; without, all of it is.
    segmented : {'nuclear'}, optional
        What the network segments of ``both``, where cells are nuclei that are grown.
    segmenter : str
    slide : str, optional
        Results of several segmenters with the same one are of one slide.
    tiles : Geometry
        Of the network.
    """

    height: int
    width: int
    image_mpp: float
    n_channels: int
    n_read: int
    compartment: str
    bundle: str | None = None
    regions: Regions | None = None
    segmented: str | None = None
    segmenter: str = "mesmer"
    slide: str | None = None
    tiles: Geometry = MESMERS_TILES

    @property
    def network_step(self) -> str:
        """The step that runs the network."""
        return _NETWORK_STEPS.get(self.segmenter, "SEGMENT")

    @property
    def has_network(self) -> bool:
        """Whether there is one, and not masks of one's own."""
        return self.segmenter != "masks"

    @property
    def n_segmented(self) -> int:
        """How many the network gives."""
        return len(segmented(self.segmented or self.compartment))

    @property
    def n_compartments(self) -> int:
        """How many there are in the end."""
        return len(segmented(self.compartment))


@dataclass
class Cost:
    """What a step takes.

    Attributes
    ----------
    tasks : float
        A slide has its share of tasks that it shares.
    processor_s : float
    memory_gb : float
        Of the largest task.
    """

    tasks: float = 0.0
    processor_s: float = 0.0
    memory_gb: float = 0.0


@dataclass
class Plan:
    """What slides take.

    Attributes
    ----------
    steps : dict of str to Cost
        In the order of the flow.
    patches, tiles : int
        Tiles of the network, those at the edges of tasks counted for each.
    device_s : float
    work_gb, results_gb : float
        Bytes (10^9) of the work folder and of ``--outdir``.
    """

    steps: dict[str, Cost] = field(default_factory=dict)
    patches: int = 0
    tiles: int = 0
    device_s: float = 0.0
    work_gb: float = 0.0
    results_gb: float = 0.0

    @property
    def tasks(self) -> float:
        """Tasks of all steps."""
        return sum(cost.tasks for cost in self.steps.values())

    @property
    def processor_s(self) -> float:
        """Processor time of all steps."""
        return sum(cost.processor_s for cost in self.steps.values())

    @property
    def memory_gb(self) -> float:
        """Memory of the largest task."""
        return max((cost.memory_gb for cost in self.steps.values()), default=0.0)


def plan_run(slides: Sequence[Work], settings: Settings, figures: Figures) -> list[Plan]:
    """Return what each slide takes of a run of them.

    Of tasks that several slides share, each takes its part.
    """
    chained = [_is_chained(work, settings) for work in slides]
    mates = Counter(work.bundle for work, is_ in zip(slides, chained, strict=True) if is_)
    plans, seen, cut = [], set(), set()
    for work, is_ in zip(slides, chained, strict=True):
        is_again = work.slide is not None and work.slide in seen
        is_cut = work.slide is not None and (work.slide, work.tiles) in cut
        share = 1 / mates[work.bundle] if is_ else None
        plans.append(_plan_one(work, settings, figures, share, is_again, is_cut))
        seen.add(work.slide)
        cut.add((work.slide, work.tiles))
    return plans


def total(plans: Sequence[Plan]) -> Plan:
    """Return what several slides take together."""
    found = Plan()
    for name in ORDER:
        costs = [plan.steps[name] for plan in plans if name in plan.steps]
        if costs:
            found.steps[name] = Cost(
                sum(cost.tasks for cost in costs),
                sum(cost.processor_s for cost in costs),
                max(cost.memory_gb for cost in costs),
            )
    for name in ("patches", "tiles", "device_s", "work_gb", "results_gb"):
        setattr(found, name, sum(getattr(plan, name) for plan in plans))
    return found


def _is_chained(work: Work, settings: Settings) -> bool:
    return work.bundle is not None and work.height * work.width <= settings.max_pixels


@dataclass(frozen=True)
class _Extent:
    """How much of a slide is segmented.

    Attributes
    ----------
    patches, tasks, tiles : int
        Tiles of each task.
    share : float
        Of the slide's pixels those that patches have.
    inside : float
        Of the slide's pixels those whose cells are kept.
    """

    patches: int
    tasks: int
    tiles: int
    share: float = 1.0
    inside: float = 1.0


def _extent(work: Work, grid: Grid, cut: Cut) -> _Extent:
    """Return how much of a slide there is to segment."""
    extent = _of_all(grid.model_shape, cut)
    if work.regions is None or extent.patches > _MOST_PATCHES:
        return extent
    lattice, cut = lattice_of(*grid.model_shape, cut.tiles), cut.around(work.regions)
    patches = plan_patches(lattice, cut.patch_size)
    wanted = ~beyond_regions(work.regions, grid, patches)
    tasks = group_patches(patches, wanted, cut.patches_per_task)
    segmented_px = sum(math.prod(patch.core.shape) for patches in tasks for patch in patches)
    return _Extent(
        int(wanted.sum()),
        len(tasks),
        sum(len(tiles_of(lattice, patches, cut.halo)) for patches in tasks),
        segmented_px / math.prod(grid.model_shape),
        work.regions.area_px / (work.height * work.width),
    )


@cache
def _of_all(shape: tuple[int, int], cut: Cut) -> _Extent:
    """Return how much there is of a slide of which all is segmented.

    They form a grid, since no patch is left out, so that each axis is counted by itself: a header
    may claim any size.

    Parameters
    ----------
    shape : (int, int)
        Height and width in model pixels.
    cut : Cut
    """
    lattice = lattice_of(*shape, cut.tiles)
    margin = cut.halo + SMOOTHING_REACH
    n_patches = n_tasks = n_tiles = 1
    for axis, n_together in zip(
        (lattice.rows, lattice.cols), block_shape(cut.patches_per_task), strict=True
    ):
        *starts, end = cuts(axis, cut.patch_size)
        first = starts[::n_together]
        spans = zip(first, [*first[1:], end], strict=True)
        n_patches *= len(starts)
        n_tasks *= len(first)
        n_tiles *= sum(
            len(axis.tiles_of(max(y0 - margin, 0), min(y1 + margin, axis.size))) for y0, y1 in spans
        )
    return _Extent(n_patches, n_tasks, n_tiles)


def _plan_one(
    work: Work,
    settings: Settings,
    figures: Figures,
    share: float | None,
    is_again: bool,
    is_cut: bool,
) -> Plan:
    """Return the plan of a slide, with its `share` of tasks, or with tasks of its own.

    What segmenters share of a slide is not done again: it is read once, and cut once for all whose
    tiles are the same.
    """
    grid = Grid(work.height, work.width, work.image_mpp)
    extent = _extent(work, grid, replace(settings.cut, tiles=work.tiles))
    amounts = _amounts(work, grid.model_shape, extent, settings, figures)
    made = Plan(patches=extent.patches, tiles=extent.tiles * work.has_network)
    on_device = settings.device == "gpu" and bool(BY_TILE & {*_steps_of(work, settings)})
    if on_device:
        made.device_s = amounts["tiles"] * figures.tile_s
    for step in _steps_of(work, settings):
        if is_again and step == "INGEST" or is_cut and step == "PATCH":
            continue
        n_tasks = extent.tasks if step in {*_NETWORK_STEPS.values(), "LABEL"} else 1
        processor_s = figures.processor_s(step, amounts, on_device)
        if step == work.network_step and not settings.keeps_maps:
            processor_s += figures.processor_s("LABEL", amounts)
        if step == "EXPORT":
            processor_s += sum(figures.format_s(name, amounts) for name in settings.formats)
        processor_s += n_tasks * figures.start_s(step)
        made.steps[step] = Cost(n_tasks, processor_s, figures.memory_gb(step, amounts, n_tasks))
    made.results_gb = figures.results_gb(settings.formats, amounts)
    made.work_gb = made.results_gb  # published files are copies
    if share is None:
        kinds = ["labels", *["maps"] * settings.keeps_maps] if work.has_network else []
        made.work_gb += figures.work_gb([*kinds, *["pixels"] * (not is_cut)], amounts)
    else:
        shares_export = not _OF_ONE_SLIDE.intersection(settings.formats)
        _chain(made, amounts, figures, share, shares_export)
    return made


def _chain(
    made: Plan, amounts: dict[str, float], figures: Figures, share: float, shares_export: bool
) -> None:
    """Put the steps from INGEST to DRAW into one, of which the slide has its share."""
    inner = [step for step in _CHAINED if step in made.steps]
    own = sum(
        made.steps[step].processor_s - made.steps[step].tasks * figures.start_s(step)
        for step in inner
    )
    own += figures.processor_s("CHAIN", amounts)
    memory = max(figures.memory_gb(step, amounts, 1) for step in ("CHAIN", *inner))
    costs = {"CHAIN": Cost(share, own + share * figures.start_s("CHAIN"), memory)}
    if export := made.steps.get("EXPORT"):
        if shares_export:
            export.processor_s -= (1 - share) * figures.start_s("EXPORT")
            export.tasks = share
        costs["EXPORT"] = export
    made.steps = costs


def _steps_of(work: Work, settings: Settings) -> list[str]:
    left_out = {*_NETWORK_STEPS.values()} - {work.network_step}
    left_out |= set() if settings.keeps_maps else {"LABEL"}
    left_out |= {"ADOPT"} if work.has_network else {work.network_step, "LABEL", "STITCH"}
    left_out |= set() if work.n_compartments == 2 else {"REPAIR"}
    left_out |= set() if settings.formats else {"EXPORT"}
    return [step for step in _STEPS if step not in left_out]


def _amounts(
    work: Work, shape: tuple[int, int], extent: _Extent, settings: Settings, figures: Figures
) -> dict[str, float]:
    """Return how much there is of each unit of the figures."""
    mpx, model_mpx = work.height * work.width / 1e6, shape[0] * shape[1] / 1e6
    kcells = figures.cells_per_model_mpx * model_mpx * extent.inside / 1000
    label_mpx = model_mpx * work.n_segmented * extent.share
    is_resized = shape != (work.height, work.width)
    n_means = 3 if work.n_compartments == 2 else 1
    has_ring = settings.with_ring and work.compartment != "nuclear"
    n_more = (n_means + has_ring) * settings.n_measures - n_means
    return {
        "slide": 1,
        "mpx": mpx,
        "read_mpx": mpx * work.n_read,
        "all_mpx": mpx * work.n_channels,
        "resized_mpx": mpx * work.n_read * is_resized,
        "model_mpx": model_mpx,
        "label_mpx": label_mpx,
        "grown_mpx": mpx * (work.n_compartments - work.n_segmented),
        "network_mpx": label_mpx * settings.n_networks / 2,
        "tiles": extent.tiles * (work.tiles.tile / MESMERS_TILES.tile) ** 2,
        "kcells": kcells,
        "kvalues": kcells * work.n_channels,
        "more_all_mpx": mpx * work.n_channels * n_more,
        "more_kvalues": kcells * work.n_channels * n_more,
    }
