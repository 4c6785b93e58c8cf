"""The page of one sample."""

from ..images import data_url
from . import page
from .charts import axes_of
from .files import published
from .findings import by_cause, findings
from .markers import rankings
from .measures import MEASURES, has_enough

MAX_LENGTH = 595_000
# Of the picture of the slide, tried in this order where a page is too long.
QUALITIES = (50, 25)


def render(report: dict) -> str:
    """Return the page of a sample, which links to that of its run, ``../report.html``.

    Of a page above `MAX_LENGTH` the picture of the slide is compressed further; the crops stay.

    Parameters
    ----------
    report : dict
        Contents of report.json, see `sample_report.describe`.
    """
    text = page.render("report.html.j2", run=None, files=published(report), **contents(report))
    if len(text) <= MAX_LENGTH:
        return text
    slide = report["pictures"]["slide"]["src"]
    pixels = data_url.decode(slide)
    for quality in QUALITIES:
        smaller = data_url.encode(pixels, quality)
        if len(text) - len(slide) + len(smaller) <= MAX_LENGTH:
            break
    return text.replace(slide, smaller)


def contents(report: dict) -> dict:
    """Return what the template shows of a sample, besides the paths of its files."""
    axes = {
        key: axes_of(report["distributions"][key], measure.axis_limit)
        for key, measure in MEASURES.items()
        if has_enough(report, measure)
    }
    found = findings(report)
    return {
        "sample": report,
        "found": found,
        "groups": by_cause(found),
        "axes": axes,
        "rankings": rankings(report["markers"]),
    }
