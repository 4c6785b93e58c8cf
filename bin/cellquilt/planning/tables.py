"""What a check found, as a table with a row for each slide and as text for a terminal."""

import csv
import io
import textwrap
from collections.abc import Callable, Iterable, Sequence

from .figures import Figures
from .inspection import Inspection
from .plan import Plan, total

COLUMNS = (
    *("sample", "status", "problems", "notices"),
    *("image", "files", "size_bytes", "height", "width", "dtype", "channels", "nuclear"),
    *("membrane", "image_mpp", "image_mpp_source", "z", "t", "scene", "roi"),
    *("patches", "tiles", "tasks", "processor_s", "device_s", "peak_memory_gb", "work_gb"),
    "results_gb",
)
WIDTH = 100
LONGEST = 1500  # list of channels
N_SLIDES = 20  # more are not listed one by one
N_LINES = 50
N_NAMED = 3
N_PANELS = 3


def render_csv(found: Sequence[Inspection], plans: Sequence[Plan | None]) -> str:
    """Return check.csv: a row for each slide, with its plan where it can be segmented.

    Several names and texts are separated by '; '. What is not known is empty.
    """
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    for slide, plan in zip(found, plans, strict=True):
        table.writerow(_row(slide) | (_row_of(plan) if plan else {}))
    return text.getvalue()


def _row(slide: Inspection) -> dict[str, object]:
    own = {name: getattr(slide, name) for name in COLUMNS if hasattr(slide, name)}
    named = {name: "; ".join(getattr(slide, name)) for name in ("channels", "nuclear", "membrane")}
    regions = slide.regions.names if slide.regions else ()
    texts = {
        "roi": "; ".join(regions),
        "problems": "; ".join(slide.problems or [slide.unseen]),
        "notices": " ".join(notice.text for notice in slide.notices),
    }
    return own | named | texts


def _row_of(plan: Plan) -> dict[str, object]:
    return {
        "patches": plan.patches,
        "tiles": plan.tiles,
        "tasks": round(plan.tasks, 3),
        "processor_s": round(plan.processor_s, 1),
        "device_s": round(plan.device_s, 1),
        "peak_memory_gb": round(plan.memory_gb, 2),
        "work_gb": round(plan.work_gb, 3),
        "results_gb": round(plan.results_gb, 3),
    }


def render_text(found: Sequence[Inspection], plans: Sequence[Plan | None], figures: Figures) -> str:
    """Return the slides, what is wrong, and the plan, in lines of at most `WIDTH` letters."""
    seen = [slide for slide in found if slide.height]
    lines = [_summary(found), *_layouts(seen), *_panels(seen)]
    lines += _texts(
        "Cannot be segmented",
        [(slide.sample, text, text) for slide in found for text in slide.problems],
    )
    lines += _texts(
        "Not looked at",
        [(slide.sample, slide.unseen, slide.unseen) for slide in found if not slide.problems],
    )
    lines += _texts(
        "To be known",
        [(slide.sample, note.code, note.text) for slide in found for note in slide.notices],
    )
    known = [plan for plan in plans if plan]
    regions = any(slide.regions for slide in found)
    return "\n".join([*lines, *(_plan(known, figures, regions) if known else [])]) + "\n"


def refusal(found: Sequence[Inspection]) -> str:
    """Return how many slides cannot be segmented; '' if all can."""
    n = sum(slide.status == "refused" for slide in found)
    return f"{n:,} of {_slides(len(found))} cannot be segmented" if n else ""


def _slides(n: int) -> str:
    return f"{n:,} slide{'s' * (n != 1)}"


def _patches(n: int) -> str:
    return f"{n:,} patch{'es' * (n != 1)}"


def _summary(found: Sequence[Inspection]) -> str:
    counts = [
        (text, sum(slide.status == status for slide in found))
        for status, text in {
            "ok": "can be segmented",
            "refused": "cannot",
            "not looked at": "not looked at",
        }.items()
    ]
    parts = ", ".join(f"{n:,} {text}" for text, n in counts if n)
    return f"{_slides(len(found))}: {parts}"


def _layouts(seen: Sequence[Inspection]) -> list[str]:
    """Return a table with a line for each layout; of many layouts what they span."""
    groups: dict[tuple, list[Inspection]] = {}
    for slide in seen:
        groups.setdefault(_layout(slide), []).append(slide)
    if not groups:
        return []
    if len(groups) > N_SLIDES:
        mpx = [slide.height * slide.width / 1e6 for slide in seen]
        channels = [len(slide.channels) for slide in seen]
        return [
            "",
            f"{len(groups)} sizes and kinds: {min(mpx):,.2f} to {max(mpx):,.2f} million pixels,"
            f" {min(channels)} to {max(channels)} channels",
        ]
    header = ("slides", "pixels", "type", "channels", "nuclear", "membrane", "um/px", "plane")
    rows = [(_names([slide.sample for slide in group]), *key) for key, group in groups.items()]
    return ["", *_columns([header, *rows], limits={0: 24, 4: 16, 5: 18, 6: 17, 7: 14})]


def _panels(seen: Sequence[Inspection]) -> list[str]:
    """Return the names of all channels, for a person to choose from; nothing of many panels."""
    panels: dict[tuple[str, ...], list[str]] = {}
    for slide in seen:
        panels.setdefault(slide.channels, []).append(slide.sample)
    if not panels or len(panels) > N_PANELS:
        return []
    lines = [""]
    for channels, samples in panels.items():
        whose = f" of {_names(samples)}" if len(panels) > 1 else ""
        there = ", ".join(f"{index}: {name}" for index, name in enumerate(channels))
        said = f"Channels{whose}: {_cut(there, LONGEST)}"
        lines += textwrap.wrap(said, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    return lines


def _layout(slide: Inspection) -> tuple[str, ...]:
    plane = {"z": slide.z or None, "t": slide.t or None, "scene": slide.scene}
    source = "given" if slide.image_mpp_source == "parameter" else slide.image_mpp_source
    size = f"{slide.image_mpp:.4g} {source}" if slide.image_mpp else "?"
    return (
        f"{slide.width} x {slide.height}",
        slide.dtype or "?",
        str(len(slide.channels)),
        ";".join(slide.nuclear) or "?",
        ";".join(slide.membrane) or "-",
        size,
        " ".join(f"{name} {value}" for name, value in plane.items() if value is not None) or "-",
    )


def _names(samples: Sequence[str]) -> str:
    """Return the first of them, and how many there are besides."""
    return samples[0] if len(samples) == 1 else f"{samples[0]} and {len(samples) - 1} more"


def _columns(rows: Sequence[Sequence[str]], limits: dict[int, int]) -> list[str]:
    """Return rows as lines; a text that is longer than its column's limit is cut."""
    cut = [[_cut(text, limits.get(k, WIDTH)) for k, text in enumerate(row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cut, strict=True)]
    return [
        "  ".join(text.ljust(n) for text, n in zip(row, widths, strict=True)).rstrip()
        for row in cut
    ]


def _cut(text: str, n: int) -> str:
    return text if len(text) <= n else f"{text[: n - 1]}…"


def _texts(title: str, found: Iterable[tuple[str, str, str]]) -> list[str]:
    """Return texts below a title; of those of one kind one, with the number of slides.

    Parameters
    ----------
    title : str
    found : iterable of (str, str, str)
        Sample, kind and text; what has no text is left out.
    """
    kinds: dict[str, tuple[str, list[str]]] = {}
    for sample, kind, text in found:
        if text:
            kinds.setdefault(kind, (text, []))[1].append(sample)
    lines = []
    for text, samples in kinds.values():
        who = ", ".join(samples[:N_NAMED])
        more = len(samples) - N_NAMED
        who += f" and {more:,} more" if more > 0 else ""
        # Of a row without a usable name the place stands for it, which its problems begin with
        text = text.removeprefix(f"{who}: ")
        said = f"  {who}: {'' if len(samples) == 1 else 'for example '}{text}"
        lines.append(textwrap.fill(said, WIDTH, subsequent_indent=" " * 4, break_on_hyphens=False))
    if len(lines) > N_LINES:
        lines = [*lines[:N_LINES], f"  and {len(lines) - N_LINES} more, in check.csv"]
    return ["", title, *lines] if lines else []


def _plan(plans: Sequence[Plan], figures: Figures, regions: bool) -> list[str]:
    """Return the table of steps, and what the run takes besides.

    `regions` is whether a slide has some of interest.
    """
    whole = total(plans)
    rows = [("step", "tasks", "processor time", "memory of a task")]
    for name, cost in [*whole.steps.items(), ("all", whole)]:
        memory = f"{cost.memory_gb:.1f} GB"
        rows.append((name, f"{cost.tasks:,.0f}", hours(cost.processor_s), memory))
    device = f"; device {hours(whole.device_s)}" if whole.device_s else ""
    lines = [
        "",
        f"Plan of {_slides(len(plans))}: {_patches(whole.patches)}, {whole.tiles:,} tiles of the"
        f" network{device}",
        *_aligned(rows),
        f"Work folder about {_size(whole.work_gb)}, results about {_size(whole.results_gb)}.",
    ]
    in_regions = ", in slides with regions of interest in these" if regions else ""
    note = (
        f"If tissue is everywhere{in_regions}; by figures {figures.source}. Nextflow and the run's"
        " report come on top."
    )
    return [*lines, *textwrap.wrap(note, WIDTH)]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows whose first column is text, and whose others are numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    just: list[Callable[[str, int], str]] = [str.ljust, *[str.rjust] * (len(widths) - 1)]
    return [
        "  " + "  ".join(put(text, n) for put, text, n in zip(just, row, widths, strict=True))
        for row in rows
    ]


def _size(gb: float) -> str:
    return f"{gb:,.1f} GB" if gb >= 1 else f"{gb * 1000:,.0f} MB"


def hours(seconds: float) -> str:
    """Return a time in seconds, minutes or hours, whichever is of that size."""
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
