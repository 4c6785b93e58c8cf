"""The report of a run: one self-contained HTML page.

No script, font or picture comes from elsewhere, and the page forbids the browser to fetch any. All
text is escaped by the template.
"""

from collections.abc import Sequence
from pathlib import Path

import jinja2

from .. import __version__
from ..segmenters import title_of
from .charts import n_beyond, outline, shared_axes
from .findings import LOW_MATCHED, findings
from .measures import MEASURES
from .sample_report import OUTLINE_UM
from .slide_view import LINE_COLOURS, SIGNAL_COLOURS, scale_bar
from .summary import certificate
from .usage import Step

TEMPLATES = Path(__file__).parent / "templates"


def render(
    samples: Sequence[dict],
    steps: Sequence[Step] | None = None,
    refusals: Sequence[dict] = (),
) -> str:
    """Return the page.

    Parameters
    ----------
    samples : list of dict
        Contents of each sample's report.json, and as ``evaluation`` those of its evaluation.json
        where it has one.
    steps : list of Step, optional
        What each step took; None where it was not traced.
    refusals : sequence of dict, optional
        Slides that were refused: ``sample``, ``step`` ('' where a task failed) and ``message``.
    """
    samples = sorted(samples, key=lambda sample: sample["sample"])
    axes = {
        key: shared_axes([sample["distributions"][key] for sample in having], measure.axis_limit)
        for key, measure in MEASURES.items()
        if (having := [sample for sample in samples if key in sample["distributions"]])
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": lambda n: "–" if n is None else f"{n:,}",
        "number": lambda number, decimals=0: f"{number:,.{decimals}f}",
        "percent": lambda share: "–" if share is None else f"{share:.1%}",
        "duration": duration,
        "flat": flat,
        "zip": zip,
    }
    return environment.get_template("report.html.j2").render(
        version=__version__,
        css=(TEMPLATES / "report.css").read_text(),
        samples=samples,
        found=[findings(sample) for sample in samples],
        segmenters=sorted({title_of(sample["segmenter"]) for sample in samples}),
        segmenter_title=title_of,
        least_matched=least_matched(samples),
        low_matched=LOW_MATCHED,
        certificate=certificate,
        measures=MEASURES,
        axes=axes,
        outline=outline,
        n_beyond=n_beyond,
        steps=steps,
        refusals=refusals,
        unit_um=OUTLINE_UM,
        line_colours=LINE_COLOURS,
        signal_colours={role: _hex(colour) for role, colour in SIGNAL_COLOURS.items()},
        scale_bar=scale_bar,
    )


def least_matched(samples: Sequence[dict]) -> float | None:
    """Return the smallest matched fraction of all samples' cells and nuclei."""
    names = ("cell_matched_fraction", "nucleus_matched_fraction")
    fractions = [sample["summary"][name] for sample in samples for name in names]
    return min((fraction for fraction in fractions if fraction is not None), default=None)


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def flat(values: dict, above: str = "") -> list[tuple[str, str]]:
    """Return the leaves of nested values: their names, joined by dots, and what they are."""
    leaves: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            leaves += flat(value, f"{above}{name}.")
        elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
            leaves += flat({str(k): part for k, part in enumerate(value)}, f"{above}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            leaves.append((f"{above}{name}", "not given" if value is None else text))
    return leaves


def _hex(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in colour)
