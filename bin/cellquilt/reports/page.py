"""What all pages of the reports share: one file each, which needs nothing beside it.

No script, font or picture comes from elsewhere, and a page forbids the browser to fetch any. All
text is escaped by the templates.
"""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

import jinja2
import markupsafe

from .. import __version__
from ..compartments import PLURALS
from ..segmenters import title_of
from . import markers
from .charts import n_beyond, outline
from .findings import plural
from .measures import MEASURES
from .regions import svg_path
from .sample_report import OUTLINE_UM
from .slide_view import LINE_COLOURS, SIGNAL_COLOURS, scale_bar
from .summary import unverified

# What is counted, of one
_SINGULAR = {
    **{objects: name for name, objects in PLURALS.items()},
    **{"matched cells": "matched cell", "patches": "patch", "samples": "sample"},
}
TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, script: str = "", **values: object) -> str:
    """Return a page.

    Parameters
    ----------
    template : str
        Name of a file in `TEMPLATES`.
    script : str
        The only script that the browser may run.
    **values
        What the template shows.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"; script-src 'sha256-{digest}'" if script else ""
    return _environment().get_template(template).render(script=script, allowed=allowed, **values)


@cache
def _environment() -> jinja2.Environment:
    """Return what compiles the templates, once for all pages of a process."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": lambda n: "–" if n is None else f"{n:,}",
        "number": number,
        "percent": lambda share: "–" if share is None else f"{share:.1%}",
        "duration": duration,
        "flat": flat,
        "plain": plain,
        "signal": signal,
        "counted": lambda n, what: plural(n, _SINGULAR[what], what),
        "noun": lambda n, what: _SINGULAR[what] if n == 1 else what,
        "breakable": breakable,
        "svg_path": svg_path,
        "zip": zip,
    }
    environment.globals |= {
        "version": __version__,
        "css": (TEMPLATES / "report.css").read_text(),
        "segmenter_title": title_of,
        "unverified": unverified,
        "measures": MEASURES,
        "outline": outline,
        "n_beyond": n_beyond,
        "marker_bars": markers.bars,
        "marker_places": markers.places,
        "marker_size": markers.SIZE,
        "unit_um": OUTLINE_UM,
        "line_colours": LINE_COLOURS,
        "signal_colours": {role: _hex(colour) for role, colour in SIGNAL_COLOURS.items()},
        "scale_bar": scale_bar,
    }
    return environment


def number(value: float | None, decimals: int = 0) -> str:
    """Return a number with commas between thousands, or a dash for None."""
    return "–" if value is None else f"{value:,.{decimals}f}"


def signal(value: float | None) -> str:
    """Return raw values of pixels, which may be counts or small fractions, with three figures."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def plain(value: str | float | None) -> str:
    """Return a value of the user's columns, or a dash for none."""
    if value in (None, ""):
        return "–"
    return value if isinstance(value, str) else f"{value:.15g}"


def breakable(name: str) -> markupsafe.Markup:
    """Return a name that may be broken after its '_' and '.'."""
    return markupsafe.Markup(re.sub(r"([_.])", r"\1<wbr>", str(markupsafe.escape(name))))


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
