"""The report of a run: of one sample all there is, of several an index of the samples' pages."""

from collections.abc import Sequence

from . import index, page, sample_page
from .usage import Step


def render(
    samples: Sequence[dict],
    steps: Sequence[Step] | None = None,
    refusals: Sequence[dict] = (),
) -> str:
    """Return the page.

    Parameters
    ----------
    samples : sequence of dict
        Of one sample the contents of its report.json, of several `index.entry` of each; and as
        ``evaluation`` those of its evaluation.json where it has one.
    steps : sequence of Step, optional
        What each step took; None where it was not traced.
    refusals : sequence of dict
        Slides that were refused: ``sample``, ``step`` ('' where a task failed) and ``message``.
    """
    run = {"steps": steps, "refusals": refusals}
    if len(samples) > 1:
        return index.render(samples, run)
    shown = sample_page.contents(samples[0]) if samples else {"sample": None, "found": []}
    return page.render("report.html.j2", run=run, **shown)
