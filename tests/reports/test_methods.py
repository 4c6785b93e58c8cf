"""methods.txt: true of each run, whatever was segmented, by what, and how."""

import copy
import json
import re

import pytest
import yaml
from lxml import html

from cellquilt.labelling.thresholds import Thresholds
from cellquilt.mesmer.card import LICENCE
from cellquilt.reports import index, methods, run_report
from cellquilt.segmenters.mesmer import THRESHOLDS
from cellquilt.slides import normalise

ABOUT = {"nextflow": "25.04.4", "formats": ["csv", "h5ad"]}
OPTIONS = {"cell": "whole-cell", "nucleus": "nuclear"}
MESMER = {
    "name": "Mesmer",
    "weights": "mesmer.onnx",
    "weights_sha256": "7a7a26",
    "licence": LICENCE,
    "software": {"tensorflow": "2.8.4", "deepcell": "0.12.10", "numpy": "1.26.4"},
}
SOFTWARE = {"numpy": "2.5.5", "tifffile": "2026.11.8", "tensorflow": "2.21.0"}


def of_mesmer(name: str = "a", **changes: object) -> dict:
    """Return what DRAW reports of a sample, as far as methods are concerned."""
    limits = {OPTIONS[part]: vars(values).copy() for part, values in THRESHOLDS.items()}
    ingest = {"z": None, "t": None, "scene": None, "roi": None}
    cut = {"patch_size": 1536, "halo": 96, "patch_qc": "default", "min_contrast": 0.03}
    steps = [
        ("INGEST", ingest),
        ("PATCH", cut),
        ("SEGMENT", {"device": "cpu", "precision": "float32", "xla": False}),
        ("LABEL", limits),
        ("STITCH", {"compartment": "both"}),
    ]
    report = {
        "sample": name,
        "segmenter": "mesmer",
        "expand_um": None,
        "regions": None,
        "n_by_status": {"matched": 8},
        "image": {
            **{"height": 600, "width": 700, "mpp": 0.5, "mpp_source": "ome-xml"},
            **{"nuclear": ["DAPI"], "nuclear_combine": None, "membrane": ["CD45", "PanCK"]},
            **{"membrane_combine": "max", "channels": ["DAPI", "CD45", "PanCK", "Ki67"]},
        },
        "summary": {
            **{"n_cells": 10, "n_nuclei": 9, "n_uncertified_cells": 0, "n_uncertified_nuclei": 0},
            **{"n_unproved_patches": 0, "flag_limits": {}},
        },
        "provenance": {
            "model": MESMER,
            "steps": [
                {"step": step, "cellquilt": "0.1.0", "parameters": asked, "software": SOFTWARE}
                for step, asked in steps
            ],
        },
    }
    report = copy.deepcopy(report)
    for path, value in changes.items():
        *above, key = path.split("__")
        place = report
        for part in above:
            place = parameters_of(report, part) if part.isupper() else place[part]
        place[key] = value
    return report


def parameters_of(report: dict, step: str) -> dict:
    return next(s["parameters"] for s in report["provenance"]["steps"] if s["step"] == step)


def card(compartment: str, channels: list[str], licence: str, **thresholds: float) -> dict:
    values = vars(Thresholds(0.1, 0.3, 1.0, 15, 15, 2)) | thresholds
    return {
        **{"architecture": "compact", "patch": 31, "compartment": compartment},
        **{"channels": channels, "weights_sha256": f"of-{compartment}", "thresholds": values},
        **{"training": {"data_license": licence}},
    }


def of_pixelcnn(name: str = "a", **changes: object) -> dict:
    cards = [
        card("whole-cell", ["nuclear", "membrane"], "generated (MIT)"),
        card("nuclear", ["nuclear"], "an image of BBBC038 (CC0)", median=3),
    ]
    report = of_mesmer(name)
    report["segmenter"] = "pixelcnn"
    report["provenance"]["model"] = {"name": "pixelcnn", "networks": cards}
    steps = report["provenance"]["steps"]
    steps[2] |= {"step": "CLASSIFY", "parameters": {"device": "cpu", "batch_size": 4}}
    steps[3]["parameters"] = {each["compartment"]: dict(each["thresholds"]) for each in cards}
    return report | changes


def of_nuclei(name: str = "a", **changes: object) -> dict:
    about = card("nuclear", ["nuclear"], "images of BBBC038 (CC0)") | {"n_parameters": 487026}
    report = nuclei_alone(of_mesmer(name))
    report["segmenter"] = "nuclei"
    report["provenance"]["model"] = {"name": "nuclei", **about}
    steps = report["provenance"]["steps"]
    steps[2] |= {"step": "DETECT", "parameters": {"device": "cpu", "batch_size": 4}}
    steps[3]["parameters"] = {"nuclear": dict(about["thresholds"])}
    return report | changes


def nuclei_alone(report: dict) -> dict:
    report["summary"] |= {"n_cells": None, "n_uncertified_cells": None}
    report["n_by_status"] = None
    parameters_of(report, "LABEL").pop("whole-cell")
    return report


def said(*reports: dict, about=ABOUT, refusals=()) -> str:
    text = methods.describe(reports, about, refusals).text()
    assert "[@" not in text and "None" not in text and "  " not in text.replace("  a: ", "")
    assert not re.search(r"[ ;,]\.|\.\.|,,", text)
    return text


def names_in(text: str) -> set[str]:
    """Return the references that a text lists, by the name of their first author."""
    return {line.split()[0] for line in text.partition("REFERENCES\n\n")[2].splitlines()}


def test_references_are_those_of_the_citations(repo):
    page = (repo / "CITATIONS.md").read_text()
    page = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", page).replace("*", "")
    page = " ".join(page.split())
    path = repo / "bin" / "cellquilt" / "reports" / "methods" / "references.yaml"
    references = yaml.safe_load(path.read_text())
    assert [key for key, found in references.items() if found["text"] not in page] == []
    for key, found in references.items():
        assert found["text"].startswith(found["cited"].split()[0].strip(",")), key
        year = re.search(r"\d{4}$", found["cited"])
        assert not year or year[0] in found["text"], key


def test_every_reference_in_the_sources_is_there(repo):
    package = repo / "bin" / "cellquilt"
    texts = package / "reports" / "methods"
    files = [*(package / "segmenters").glob("*.py"), *texts.glob("*.py")]
    found = re.findall(r"\[@([a-z0-9,-]+)\]", "".join(file.read_text() for file in files))
    keys = {key for each in found for key in each.split(",")} - {"key"}
    references = yaml.safe_load((package / "reports" / "methods" / "references.yaml").read_text())
    packages = {"numpy", "scipy", "scikit-image", "tifffile"}
    assert keys | packages == set(references)


def test_a_run_of_mesmer():
    text = said(of_mesmer())
    assert (
        "With Cellquilt 0.1.0, run by Nextflow 25.04.4 (Di Tommaso et al., 2017), whole cells"
        in (text)
    )
    assert "a pixel was 0.5 µm (as stated in the image file)" in text and "resampled" not in text
    assert "nuclear image was channel DAPI, and the membrane image the maximum of" in text
    assert "mesmer.onnx (SHA-256 7a7a26), prepared with deepcell 0.12.10 and TensorFlow 2.8.4" in (
        text
    )
    assert "TensorFlow 2.21.0 (Abadi et al., 2015) on CPUs." in text
    assert f"{normalise.PERCENTILE}th percentile" in text
    assert f"kernel of {normalise.KERNEL} px" in text
    for name, limits in (("whole cells", THRESHOLDS["cell"]), ("nuclei", THRESHOLDS["nucleus"])):
        assert (
            f"for {name} maxima threshold {limits.maxima_threshold:g}, interior threshold "
            f"{limits.interior_threshold:g}, interior smoothing of {limits.interior_smooth:g} px, "
            f"objects below {limits.small_objects_threshold} px removed, holes below "
            f"{limits.fill_holes_threshold} px filled, radius {limits.radius} px"
        ) in text
    assert "(default" not in text and "median filter" not in text
    assert "Of every object the run verified" in text
    assert "Cells and nuclei were matched one to one" in text
    assert "Of every cell, nucleus and cytoplasm area and shape" in text
    assert "raw pixel values, without subtraction of background, in 4 channels." in text
    assert "written as CSV in the layout of MCMICRO (Schapiro et al., 2022) and AnnData" in text
    assert f"LICENCES\n\n{LICENCE}\nCellquilt is under the MIT licence." in text
    assert {"Greenwald", "Bannon", "Chen", "Zuiderveld", "Schapiro"} <= names_in(text)
    assert not {"Giusti", "Caicedo", "Bankhead", "Virtanen"} & names_in(text)
    assert "INPUT FILES" not in text


def test_a_run_of_pixel_classifiers_needs_no_licence_of_mesmer():
    text = said(of_pixelcnn())
    assert "for whole cells the network compact (field of 31 x 31 px of the nuclear and the" in text
    assert "SHA-256 of the weights of-nuclear" in text
    assert "median filter of 3 px" in text and "(default" not in text
    assert "non-commercial" not in text and "deepcell" not in text
    licences = text.partition("LICENCES\n\n")[2].splitlines()
    assert licences[0].endswith("with this licence: generated (MIT).")
    assert licences[1].endswith("an image of BBBC038 (CC0) (Caicedo et al., 2019).")
    assert {"Giusti", "Caicedo", "Greenwald"} <= names_in(text)


def test_a_run_of_the_network_for_nuclei():
    text = said(of_nuclei())
    assert "Segmentation was by the network for nuclei of Cellquilt, a U-Net (Ronneberger" in text
    assert "487026 parameters" in text and "SHA-256 of the weights of-nuclear" in text
    assert "TensorFlow 2.21.0 (Abadi et al., 2015) on CPUs." in text
    assert "non-commercial" not in text and "deepcell" not in text and "(default" not in text
    assert "images of BBBC038 (CC0) (Caicedo et al., 2019)." in text


def test_a_run_of_a_network_for_nuclei_of_ones_own():
    report = of_nuclei()
    start = {"weights_sha256": "of-ours", "data_license": "images of BBBC038 (CC0)"}
    learnt = {"data_license": "it's ours", "start": start}
    report["provenance"]["model"]["training"] = learnt
    text = said(report)
    assert "by a network for nuclei that Cellquilt trained on labelled images, further" in text
    assert "from its own one (SHA-256 of the weights of-ours), a U-Net (Ronneberger" in text
    licences = re.findall(r"was trained on data with this licence: (.*?)\.", text)
    assert licences[0].startswith("images of BBBC038 (CC0) (Caicedo") and licences[1] == "it's ours"
    learnt["start"] = None
    assert "labelled images, a U-Net" in said(report) and "BBBC038" not in said(report)


def test_several_networks_of_a_compartment_are_averaged():
    report = of_pixelcnn()
    report["provenance"]["model"]["networks"].append(
        card("nuclear", ["nuclear"], "generated (MIT)", median=3, interior_threshold=0.5)
    )
    parameters_of(report, "LABEL")["nuclear"]["interior_threshold"] = 0.4  # the mean of both
    text = said(report)
    assert "for nuclei the mean of the networks compact (" in text and "(default" not in text


def test_of_nuclei_alone_nothing_is_said_of_cells():
    report = nuclei_alone(of_mesmer(image__membrane=[], image__membrane_combine=None))
    text = said(report)
    assert ", nuclei were segmented." in text and "without a membrane image" in text
    assert "whole cells" not in text and "matched" not in text and "cytoplasm" not in text
    assert "Of every nucleus area and shape" in text
    assert "Chen" not in names_in(text)


def test_grown_nuclei():
    report = of_mesmer(expand_um=4.5)
    parameters_of(report, "LABEL").pop("whole-cell")
    text = said(report)
    assert "nuclei were segmented and grown by 4.5 µm to whole cells." in text
    assert "expand_labels grows them (van der Walt et al., 2014)" in text
    assert "for whole cells maxima" not in text


def test_thresholds_that_were_changed_are_said_with_their_defaults():
    text = said(of_mesmer(**{"LABEL__nuclear": {"maxima_threshold": 0.2, "radius": 2}}))
    assert "for nuclei maxima threshold 0.2 (default 0.1), radius 2 px" in text


def test_what_differs_between_slides_is_said_of_which():
    other = of_mesmer("b", image__mpp=0.377, image__mpp_source="parameter")
    third = nuclei_alone(of_mesmer("c", image__membrane=[], image__membrane_combine=None))
    text = said(of_mesmer(), other, third)
    assert "in a and b whole cells and nuclei were segmented; in c nuclei were segmented." in text
    assert "0.5 µm (as stated in the image file) in a and c; 0.377 µm (given for the run) in b" in (
        text
    )
    assert "The images of b were resampled to 0.5 µm/px" in text
    assert "; in c the nuclear image was channel DAPI, without a membrane image." in text
    assert "In a and b cells and nuclei were matched" in text
    assert text.count("area and shape") == text.count("for nuclei maxima threshold") == 1
    alike = said(of_mesmer("x"), of_mesmer("y"))
    assert "whole cells and nuclei were segmented in 2 slides." in alike and " in x" not in alike
    many = said(*(of_mesmer(f"s{k}", image__mpp=0.5 if k else 0.25) for k in range(9)))
    assert "in 8 slides; 0.25 µm (as stated in the image file) in s0." in many


def test_planes_regions_limits_and_scores_are_said_where_they_are():
    regions = [{"name": "tumour"}, {"name": "stroma"}]
    limits = {"max_mismatch": 0.4, "min_cell_um2": 20}
    measures = {"summary__measures": ["mean", "p90", "sum"], "summary__boundary_um": 1.0}
    evaluation = {"evaluator": "CellSegmentationEvaluator", "version": "1.5", "quality_score": 1.2}
    report = of_mesmer(
        **{"regions": regions, "INGEST__roi": "areas.geojson", "INGEST__z": "max"},
        **{"INGEST__t": 3, "summary__flag_limits": limits, "evaluation": evaluation},
        **measures,
    )
    text = said(report)
    assert "The maximum over all planes of the z-stack and frame 3 of the time series" in text
    assert "2 regions of interest (tumour and stroma), of the file areas.geojson." in text
    assert "by these limits: more than 0.4 of the nucleus outside of its cell and a cell be" in text
    assert "by CellSegmentationEvaluator 1.5 (Chen and Murphy, 2023)" in text
    assert "and the mean, 90th percentile and sum of the raw pixel values, without sub" in text
    assert "in 4 channels; also of the outermost 1 µm of cells." in text
    mixed = said(report, of_mesmer("b"))
    assert "of the file areas.geojson in a; the whole slide in b." in mixed
    assert "In a masks were scored" in mixed
    plain = said(of_mesmer())
    assert not any(word in plain for word in ("z-stack", "of interest", "scored", "below 20"))


def test_what_is_not_verified_is_counted():
    text = said(of_mesmer(summary__n_uncertified_cells=2, summary__n_unproved_patches=1))
    assert "Of 17 of 19 objects the run verified" in text
    assert "; 1 patch was skipped without such proof." in text


def test_other_precision_is_said():
    changes = {"precision": "tf32", "xla": True, "max_map_difference": 0.1, "device": "NVIDIA T4"}
    text = said(of_mesmer(**{f"SEGMENT__{key}": value for key, value in changes.items()}))
    assert "on NVIDIA T4 in tf32 with XLA, where in a sample of tiles of each task" in text


def test_slides_without_tissue_and_runs_without_slides():
    empty = of_mesmer("b", summary__n_cells=0, summary__n_nuclei=0)
    empty["provenance"] = {"model": None, "steps": empty["provenance"]["steps"][::4]}
    text = said(of_mesmer(), empty)
    assert "No patch of b could hold cells, and their masks are empty." in text
    alone = said(empty)
    assert "no network was run" in alone and "Greenwald" not in names_in(alone)
    assert "non-commercial" not in alone
    assert methods.describe([], ABOUT).text() == "METHODS\n\nNo slide was segmented.\n"


def test_formats_of_a_run_whose_export_was_refused_are_not_claimed():
    refusals = [{"sample": "a", "step": "EXPORT", "message": "no"}]
    assert "AnnData" not in said(of_mesmer(), refusals=refusals)
    assert "Nextflow" not in said(of_mesmer(), about=None)


def test_another_pipelines_segmenter_is_named_and_nothing_is_claimed_of_it():
    text = said(of_mesmer(segmenter="stardist", provenance__model={"name": "x"}))
    assert "Segmentation was by stardist." in text
    assert "normalised" not in text and "watershed" not in text and "verified that" not in text


def test_each_of_several_segmenters_has_its_paragraph():
    text = said(of_mesmer(), of_mesmer("b"), of_pixelcnn())
    paragraphs = [line for line in text.splitlines() if "was by" in line]
    mesmer, pixelcnn = paragraphs
    assert mesmer.startswith("With Mesmer, in a and b: These images were normalised")
    assert pixelcnn.startswith("With pixel classifiers, in a: These images were normalised")
    assert "mesmer.onnx" in mesmer and "mesmer.onnx" not in pixelcnn
    assert "in 2 slides" in text and "non-commercial" in text


def test_input_files_have_their_digests():
    inputs = [{"name": "a.tif", "sha256": "12ab"}, {"name": "roi.geojson", "sha256": "34cd"}]
    text = said(of_mesmer(provenance__inputs=inputs))
    assert "SHA-256 OF THE INPUT FILES\n\n12ab  a: a.tif\n34cd  a: roi.geojson\n" in text


def test_hostile_names_are_text_and_cite_nothing(samples):
    hostile = "[@bbbc038] <script>alert(1)</script>\nLICENCES\n\nnone"
    report = copy.deepcopy(samples["both"])
    report["image"] |= {"nuclear": [hostile]}
    report["provenance"]["inputs"] = [{"name": hostile, "sha256": "1"}]
    text = methods.describe([report]).text()
    assert "Caicedo" not in text and text.count("\nLICENCES\n") == 1
    page = html.document_fromstring(run_report.render([report]))
    assert not list(page.iter("script"))


@pytest.mark.parametrize("n", [1, 2])
def test_the_page_of_a_run_has_the_same_text(samples, n):
    reports = [samples["both"], samples["nuclear"]][:n]
    entries = [index.entry(report) for report in reports] if n > 1 else reports
    found = methods.describe(json.loads(json.dumps(entries)), None)
    assert found == methods.describe(reports, None)
    (section,) = html.document_fromstring(run_report.render(entries)).find_class("paper")
    shown = " ".join(section.text_content().split())
    for text in [*found.paragraphs, *found.licences, *found.references]:
        assert " ".join(text.split()) in shown
