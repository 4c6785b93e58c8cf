"""Markers on a sample's page, its links to files, and what the page of a run says of the run."""

import copy
import fnmatch
import json
import re

import pytest
from lxml import html
from support.tables import markers_of

from cellquilt.errors import DataError
from cellquilt.exports import FORMATS
from cellquilt.handoff.step_files import read_run
from cellquilt.reports import run_report, sample_page
from cellquilt.reports.files import published
from cellquilt.reports.findings import findings
from cellquilt.reports.markers import described, rankings

RUN = {
    **{"started": "2026-11-29T06:15:07.123456789Z", "name": "bold_cell", "nextflow": "25.04.6"},
    **{"command": "nextflow run . --input '<a>.csv' -resume", "formats": ["csv", "h5ad", "hubmap"]},
}


def text_of(element) -> str:
    return " ".join(element.text_content().split())


def root_of(text):
    return html.document_fromstring(text)


def test_ranks_are_by_contrast_and_know_what_was_used():
    contrasts = {"A": (0.1, None), "B": (0.5, None), "C": (None, None), "D": (-0.2, None)}
    markers = [
        {"name": name, "nuclear_contrast": nuclear, "membrane_contrast": membrane}
        for name, (nuclear, membrane) in contrasts.items()
    ]
    facts = {"nuclear": [{"index": 3}], "membrane": [{"index": 0}]}
    found = described(markers, facts)
    assert [marker["nuclear_rank"] for marker in found] == [2, 1, None, 3]
    assert [marker["role"] for marker in found] == ["membrane", None, None, "nuclear"]
    (ranking,) = rankings(found)  # no membranes without cells
    assert (ranking.role, ranking.scale, ranking.better) == ("nuclear", 0.5, "B")
    assert rankings(found[:1]) == []


def test_a_long_list_names_the_likeliest_and_what_was_used():
    markers = [
        {"name": f"M{k}", "nuclear_contrast": -k / 40, "membrane_contrast": 0.0} for k in range(40)
    ]
    found = described(markers, {"nuclear": [{"index": 30}], "membrane": []})
    nuclear, membrane = rankings(found)
    assert [marker["name"] for marker in nuclear.listed] == ["M0", "M1", "M2", "M3", "M4", "M30"]
    assert (membrane.better, len(membrane.listed)) == (None, 5)


def test_a_page_shows_what_was_measured_of_each_channel(samples):
    sample = samples["both"]
    page = root_of(sample_page.render(sample))
    cards = page.xpath("//div[@class='markers']/figure")
    assert [text_of(card.find(".//b")) for card in cards] == [m["name"] for m in sample["markers"]]
    for card, marker in zip(cards, sample["markers"], strict=True):
        (said,) = card.iter("p")
        expected = f"median {marker['means']['quartiles'][1]:,.0f}, "
        assert text_of(said).startswith(expected + f"background {marker['background']:.3g}, ")
        assert text_of(said).endswith("saturated 0%")
    assert [text_of(card.find(".//small")) for card in cards[:2]] == ["nuclear", "membrane"]
    nuclear, membrane = page.xpath("//div[@class='rankings']/table")
    rows = [" ".join(map(text_of, row)) for row in nuclear.iter("tr")]
    assert re.fullmatch(r"1 DAPI used +\+0\.\d\d", rows[0]) and rows[1].startswith("2 Ki67")
    likeliest = {text_of(row[1]).split()[0] for row in list(membrane.iter("tr"))[:2]}
    assert likeliest == {"PanCK", "CD45"}
    (chosen,) = nuclear.find_class("chosen")
    assert "DAPI" in text_of(chosen)


def test_a_choice_that_is_not_the_likeliest_is_said(samples):
    sample = copy.deepcopy(samples["both"])
    for marker in sample["markers"]:
        marker["role"] = {"Ki67": "nuclear"}.get(marker["name"])
    text = text_of(root_of(sample_page.render(sample)))
    assert "DAPI looks more nuclear than what was used: try it as --nuclear" in text
    assert "like a membrane than what was used" not in text


def test_a_page_without_markers_or_objects(samples):
    sample = samples["both"] | {"markers": []}
    assert not root_of(sample_page.render(sample)).find_class("markers")
    page = root_of(sample_page.render(samples["empty"]))
    assert len(page.xpath("//div[@class='markers']/figure")) == 6
    assert not page.find_class("rankings")
    nuclear = root_of(sample_page.render(samples["nuclear"]))
    assert len(nuclear.xpath("//div[@class='rankings']/table")) == 1


def test_forty_channels_stay_small_and_within_a_narrow_window(samples, tissue, browser, tmp_path):
    names = [f"Marker{'_long_name' * (k % 3)}-{k}" for k in range(40)]
    image = [tissue.image[k % 6] for k in range(40)]
    labels = {"cell": tissue.cell_truth, "nucleus": tissue.nucleus_truth}
    found = markers_of(image, names, labels, 0.5)
    facts = {"nuclear": [{"index": 0}], "membrane": [{"index": 1}, {"index": 20}]}
    sample = samples["both"] | {"markers": described(found, facts)}
    assert len(json.dumps(sample)) < 700_000
    path = tmp_path / "report.html"
    path.write_text(sample_page.render(sample))
    assert path.stat().st_size <= sample_page.MAX_LENGTH + 150_000
    browser.open(path)
    for width in (360, 1400):
        browser.resize(width, 900)
        assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.complaints == []
    wide = "[...document.querySelectorAll('.markers figure')].map(f => f.offsetWidth)"
    assert min(browser.run(wide)) >= 140
    loaded = "[...document.querySelectorAll('.markers img')].every(i => i.naturalWidth > 20)"
    assert browser.run(loaded) is True


@pytest.mark.parametrize("kind", ["both", "whole-cell", "nuclear"])
def test_links_lead_to_what_is_published(samples, repo, kind):
    names = json.loads((repo / "assets" / "published.json").read_text())["sample"]
    globs = []
    for name in [*names, "files.json"]:
        parts = re.split(r"\{(.*?)\}", name.replace("<sample>", kind))
        found = [""]
        for k, part in enumerate(parts):
            found = [
                one + choice for one in found for choice in (part.split(",") if k % 2 else [part])
            ]
        globs += found
    formats = [*FORMATS, "odd"]
    sample = copy.deepcopy(samples[kind])
    sample["summary"]["segmentation"] = f"segmentation/mesmer-{kind}"
    paths = [path for _, path in published(sample, formats)]
    assert len(paths) == (14 if kind == "both" else 12)
    mask = "nucleus" if kind == "nuclear" else "cell"
    for path in paths:
        is_folder = path.endswith("/") and not path.endswith(".zarr/")
        wanted = f"{path}{mask}.ome.tif" if is_folder else path.rstrip("/")
        wanted = "viewer" if wanted == "viewer/index.html" else wanted
        assert any(fnmatch.fnmatch(wanted, one) for one in globs), path
    page = root_of(sample_page.render(sample))
    links = page.xpath("//section[@aria-labelledby='files']//a/@href")
    assert links == [path for _, path in published(sample)]


def test_the_page_of_a_run_has_its_date_and_command_line(samples, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    about = read_run(tmp_path / "run.json")
    for given in ([samples["both"]], [samples["both"], samples["nuclear"]]):
        entries = [sample | {"thumbnail": sample["pictures"]["slide"]} for sample in given]
        page = root_of(run_report.render(entries, None, (), about))
        (said,) = page.find_class("run")
        assert text_of(said).startswith("Started on 2026-11-29 at 06:15 UTC as bold_cell, with ")
        assert text_of(said).endswith(f"and Nextflow 25.04.6:{RUN['command']}")
        links = page.xpath("//section[@aria-labelledby='files']//a/@href")
        exports = {"both/anndata/both.h5ad", "both/hubmap/both_mask.ome.tiff"}
        assert exports <= set(links) or len(given) == 2
    assert not root_of(run_report.render([samples["both"]])).find_class("run")


@pytest.mark.parametrize(
    "change", [{"started": "yesterday"}, {"command": 3}, {"formats": None}, {"formats": [1]}]
)
def test_a_run_that_is_none_is_refused(tmp_path, change):
    (tmp_path / "run.json").write_text(json.dumps(RUN | change))
    with pytest.raises(DataError, match=r"run\.json: is not of a run"):
        read_run(tmp_path / "run.json")


def test_density_is_drawn_of_ten_patches(samples):
    sample = copy.deepcopy(samples["both"])
    for n in (9, 10):
        sample["distributions"]["patch_density_per_mm2"]["n"] = n
        titles = root_of(sample_page.render(sample)).xpath("//div[@class='charts']//b/text()")
        assert ("Density" in titles) == (n == 10)


def test_one_is_singular(samples):
    sample = copy.deepcopy(samples["both"])
    sample["summary"] |= {"n_cells": 1, "n_nuclei": 1, "n_matched": 1, "n_unproved_patches": 1}
    for crop in sample["pictures"]["crops"]:
        crop["n_objects"] = 1
    for found in sample["distributions"].values():
        found["n"] = 1
    refusals = [{"sample": "a", "step": "INGEST", "message": "torn"}]
    for text in (
        run_report.render([sample], None, refusals),
        run_report.render(
            [sample | {"thumbnail": sample["pictures"]["slide"]}] * 2, None, refusals
        ),
    ):
        body = text_of(root_of(text).find("body"))
        wrong = r"(?<![\d,.])1 (cells|nuclei|matched cells|patches|samples|channels|pairs)\b"
        assert re.findall(wrong, body) == []
        assert "This slide was refused" in body
    assert "not verified: 1 patch skipped without proof" in text_of(
        root_of(sample_page.render(sample))
    )
    assert findings(sample) is not None
