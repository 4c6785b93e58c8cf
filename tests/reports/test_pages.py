"""All pages in a browser: what axe-core finds, keys, narrow windows, and who is asked for what.

The viewer's are in tests/exports/test_viewer.py.
"""

import json
from pathlib import Path

import pytest
from support import axe, trained

from cellquilt.reports import index, run_report, sample_page
from cellquilt.reports.contrast import contrast

PAGES = ("sample", "empty sample", "run of one", "index", "comparison", "training")


@pytest.fixture(scope="module")
def pages(samples, samples_folder, tmp_path_factory) -> dict[str, Path]:
    """Return the page of every kind that a run or a training publishes."""
    folder = tmp_path_factory.mktemp("pages")
    refusal = {"sample": "torn", "step": "INGEST", "message": "torn.tif: truncated"}
    several = [index.entry(sample | {"columns": {"dose": 0.5}}) for sample in samples.values()]
    texts = {
        "sample": sample_page.render(samples["both"]),
        "empty sample": sample_page.render(samples["empty"]),
        "run of one": run_report.render([samples["nuclear"]], None, []),
        "index": run_report.render(several, None, [refusal]),
    }
    found = {name: folder / f"{name}.html" for name in texts}
    for name, path in found.items():
        path.write_text(texts[name])
    results = []
    for kind in ("both", "whole-cell"):
        report = folder / f"{kind}.json"
        report.write_text(json.dumps(samples[kind]))
        results.append((report, sorted((samples_folder / kind).glob("*.tif"))))
    contrast(samples_folder / "a" / "normalised.zip", results, folder)
    found["comparison"] = folder / "comparison.html"
    found["training"] = trained.written(folder / "training")
    return found


@pytest.fixture(scope="module")
def axe_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("axe")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_keeps_to_itself(pages, browser, axe_folder, name):
    path = pages[name]
    browser.resize(1200, 900)
    browser.open(path)
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert axe.grave(browser, axe_folder) == []
    for width in (480, 360):
        browser.resize(width, 800)
        assert browser.run("document.documentElement.scrollWidth") == width
    assert axe.grave(browser, axe_folder) == []
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [path.as_uri()]


REACHED = """
[...document.querySelectorAll('a[href], button, input, summary, [tabindex="0"]')]
  .filter(e => e.checkVisibility() && e.tabIndex >= 0).length
"""
FOCUSED = """
(e => e === document.body ? '' : `${e.tagName} ${e.textContent.trim().slice(0, 40)}: ` +
  (getComputedStyle(e).outlineStyle !== 'none'))(document.activeElement)
"""
BAD = """<!DOCTYPE html><html lang="en"><title>Bad</title><main><h1>Bad</h1>
<p style="color:#bbb">too pale</p><input><img src="data:,"><a href="#x">link</a></main></html>"""


def test_axe_finds_what_is_not(browser, axe_folder, tmp_path):
    (tmp_path / "bad.html").write_text(BAD)
    browser.open(tmp_path / "bad.html")
    found = {one["id"] for one in axe.grave(browser, axe_folder)}
    assert found == {"color-contrast", "label", "image-alt"}


@pytest.mark.parametrize("name", ["sample", "index", "training"])
def test_all_that_can_be_used_is_reached_by_tab_and_seen(pages, browser, name):
    browser.resize(1200, 900)
    browser.open(pages[name])
    wanted = browser.run(REACHED)
    reached = []
    for _ in range(wanted):
        browser.press("Tab", 9)
        reached.append(browser.run(FOCUSED))
    assert all(reached), "the focus has left the page before all of it was reached"
    assert [one for one in reached if not one.endswith("true")] == []


def test_details_open_with_the_keyboard(pages, browser):
    browser.open(pages["training"])
    browser.run("document.querySelector('summary').focus()")
    browser.press("Enter", 13, "\r")
    assert browser.run("document.querySelector('details').open") is True
