"""The page of one sample."""

from . import page
from .charts import axes_of
from .findings import findings
from .measures import MEASURES


def render(report: dict) -> str:
    """Return the page of a sample, which links to that of its run, ``../report.html``.

    Parameters
    ----------
    report : dict
        Contents of report.json, see `sample_report.describe`.
    """
    return page.render("report.html.j2", run=None, **contents(report))


def contents(report: dict) -> dict:
    """Return what the template shows of a sample: it, its findings and the axes of its charts."""
    axes = {
        key: axes_of(report["distributions"][key], measure.axis_limit)
        for key, measure in MEASURES.items()
        if report["distributions"].get(key, {"n": 0})["n"]
    }
    return {"sample": report, "found": findings(report), "axes": axes}
