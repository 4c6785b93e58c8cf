"""The report of a run: of one sample all there is, of several an index of the samples' pages."""

from collections.abc import Sequence
from urllib.parse import quote

from . import index, methods, page, sample_page
from .files import published
from .usage import Step


def render(
    samples: Sequence[dict],
    steps: Sequence[Step] | None = None,
    refusals: Sequence[dict] = (),
    about: dict | None = None,
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
    about : dict, optional
        What is known of the run, see `step_files.read_run`.
    """
    run = {"steps": steps, "refusals": refusals, "about": about}
    run["methods"] = methods.describe(samples, about, refusals)
    if len(samples) > 1:
        return index.render(samples, run)
    shown: dict = {"sample": None, "found": [], "files": []}
    if samples:
        files = published(samples[0], about["formats"] if about else ())
        folder = quote(samples[0]["sample"])
        shown = sample_page.contents(samples[0])
        shown["files"] = [(what, f"{folder}/{path}") for what, path in files]
    return page.render("report.html.j2", run=run, **shown)
