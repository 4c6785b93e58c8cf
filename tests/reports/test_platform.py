"""Metadata for other platforms: launch form, reports and MultiQC."""

import csv
import json
import re
from pathlib import Path

import pytest
import yaml

from cellquilt.handoff import step_files
from cellquilt.reports import multiqc

GROUP_KEYS = {"title", "type", "fa_icon", "description", "properties"}
ICON = re.compile(r"fa[sbr] fa-[a-z0-9-]+")


@pytest.fixture(scope="module")
def schema(repo) -> dict:
    return json.loads((repo / "nextflow_schema.json").read_text())


@pytest.fixture(scope="module")
def parameters(schema) -> dict[str, dict]:
    groups = schema["$defs"].values()
    return {name: prop for group in groups for name, prop in group["properties"].items()}


def test_nf_core_accepts_the_schema(repo, readers, tmp_path):
    """Its linter reads the configuration with Nextflow, and compares defaults and types."""
    said = readers(
        *("nf-core", "pipelines", "schema", "lint", "--dir", repo, repo / "nextflow_schema.json"),
        folder=tmp_path,
    )
    assert "Pipeline schema looks valid" in said
    assert "Default parameters match schema validation" in said


def test_nf_core_refuses_a_wrong_default(repo, readers, tmp_path, schema):
    schema = json.loads(json.dumps(schema))
    schema["$defs"]["patch_options"]["properties"]["halo"]["default"] = "wide"
    (tmp_path / "nextflow_schema.json").write_text(json.dumps(schema))
    with pytest.raises(AssertionError, match="halo|wide"):
        readers(
            *("nf-core", "pipelines", "schema", "lint", "--dir", repo),
            tmp_path / "nextflow_schema.json",
            folder=tmp_path,
        )


@pytest.mark.parametrize("name", ["nextflow_schema.json", "assets/schema_input.json"])
def test_schemas_follow_json_schema_2020_12(repo, readers, tmp_path, name):
    check = "jsonschema.Draft202012Validator.check_schema(json.load(open(sys.argv[1])))"
    script = f"import json, sys, jsonschema; {check}"
    assert json.loads((repo / name).read_text())["$schema"].endswith("draft/2020-12/schema")
    readers("python", "-c", script, repo / name, folder=tmp_path)


def test_launch_form_tells_what_everything_is(schema, parameters):
    assert [entry["$ref"] for entry in schema["allOf"]] == [f"#/$defs/{g}" for g in schema["$defs"]]
    for group in schema["$defs"].values():
        assert set(group) == GROUP_KEYS
    for name, element in [*schema["$defs"].items(), *parameters.items()]:
        assert ICON.fullmatch(element["fa_icon"]), name
        assert element["description"], name
    shown = [name for name, prop in parameters.items() if not prop.get("hidden")]
    assert len(shown) < 0.75 * len(parameters)
    assert {"input", "nuclear", "outdir", "accept_mesmer_license"} <= set(shown)


def test_launch_form_knows_files_and_folders(parameters):
    paths = {name for name, prop in parameters.items() if "path" in prop.get("format", "")}
    assert paths >= {"input", "image", "outdir", "model_cache", "mesmer_model", "labels"}
    # An image may be a pattern, which is no path
    read = {name for name in paths - {"image"} if parameters[name]["format"] != "directory-path"}
    assert all(parameters[name]["exists"] for name in read)


def test_patterns_hold_for_the_whole_value(parameters):
    """JSON Schema searches a pattern, the pipeline matches it from end to end."""
    for name, prop in parameters.items():
        pattern = re.sub(r"\[[^]]*\]", "x", prop.get("pattern", "^$"))
        groups = 1
        while groups:
            pattern, groups = re.subn(r"\([^()]*\)", "x", pattern)
        for alternative in pattern.split("|"):
            assert alternative[0] == "^" and alternative[-1] == "$", name


def test_samplesheet_schema_names_files(repo):
    row = json.loads((repo / "assets" / "schema_input.json").read_text())["items"]["properties"]
    files = {name for name, prop in row.items() if prop.get("format") == "file-path"}
    assert files == {"labels", "markers", "roi"} and row["image"]["format"] == "path"
    assert all(row[name]["exists"] for name in files | {"image"})
    assert all(prop["title"] and prop["description"] for prop in row.values())


SLIDE = {"sample": "a", "image": "a.tif", "nuclear": 0}
EXAMPLE = SLIDE | {"labels": "l.tif"}
SHEETS = [
    ([SLIDE, SLIDE | {"membrane": "CD45", "image_mpp": 0.5}], True),
    ([EXAMPLE, EXAMPLE | {"split": "test"}], True),
    ([EXAMPLE, SLIDE], False),
    ([SLIDE | {"split": "test"}], False),
    ([EXAMPLE | {"split": "later"}], False),
    ([SLIDE | {"image_mpp": 50}], False),
    ([SLIDE | {"sample": "../a"}], False),
    ([SLIDE | {"patient": "P1", "dose": 0.5}], True),
    ([SLIDE | {"cell_id": 1}], False),
    ([{"sample": "a", "image": "a.tif"}], False),
    ([], False),
]


def test_samplesheet_schema_has_slides_or_examples(repo, readers, tmp_path):
    """As JSON Schema alone: a samplesheet is of one kind, whatever its mode is called."""
    (tmp_path / "sheets.json").write_text(json.dumps([sheet for sheet, _ in SHEETS]))
    script = (
        "import json, sys, jsonschema; schema, sheets = (json.load(open(p)) for p in sys.argv[1:]);"
        "valid = jsonschema.Draft202012Validator(schema).is_valid;"
        "print(json.dumps([valid(sheet) for sheet in sheets]))"
    )
    arguments = (repo / "assets" / "schema_input.json", tmp_path / "sheets.json")
    found = json.loads(readers("python", "-c", script, *arguments, folder=tmp_path))
    assert found == [expected for _, expected in SHEETS]


def test_tower_names_reports_that_there_are(repo):
    reports = yaml.safe_load((repo / "tower.yml").read_text())["reports"]
    described = (repo / "docs" / "outputs.md").read_text()
    described += (repo / "docs" / "training.md").read_text()
    for pattern, report in reports.items():
        assert report["display"], pattern
        assert f"{Path(pattern).name}`" in described, pattern
    assert len({report["display"] for report in reports.values()}) == len(reports)
    assert {"**/report.html", "**/overlay.png", "**/pipeline_info/execution_report.html"} <= set(
        reports
    )


def sample(name: str, both: bool = True, scale: int = 1) -> dict:
    """Return the part of a report.json that MultiQC's files are made of."""
    area = {"n": 100, "width": 5.0, "counts": [0, 10, 60, 20, 10], "n_beyond": 0}
    summary = {
        "n_cells": 1000 * scale if both else None,
        "n_nuclei": 900 * scale,
        "matched_fraction": 0.8125 if both else None,
        "n_uncertified_cells": 19 * scale if both else None,
        "n_uncertified_nuclei": 0,
        "cell_matched_fraction": 0.9 if both else None,
        "nucleus_matched_fraction": 0.9 if both else None,
        "notices": [{"code": "label_image", "text": "a.tif: <b>labels</b>"}] if scale == 2 else [],
    }
    statuses = dict.fromkeys(multiqc.STATUSES, 10 * scale) | {"matched": 850 * scale}
    return {
        "sample": name,
        "density_per_mm2": 3210.5,
        "summary": summary,
        "n_by_status": statuses if both else None,
        "n_disputed_px": 0,
        "checks": {"figures": {}},
        "patches": {
            state: {"n": state == "segmented"} for state in ("segmented", "empty", "skipped")
        },
        "distributions": {"nucleus_area_um2": area} | ({"cell_area_um2": area} if both else {}),
    }


@pytest.fixture(scope="module")
def multiqc_data(readers, tmp_path_factory) -> Path:
    """Return the data folder of MultiQC's report on three samples, one of nuclei alone."""
    folder = tmp_path_factory.mktemp("multiqc")
    samples = [sample("tonsil"), sample("spleen", scale=2), sample("nuclei", both=False)]
    paths = multiqc.write(samples, [], folder / "content")
    assert len(paths) == 5
    said = readers("multiqc", "--strict", "--no-ansi", "-o", folder / "out", folder / "content")
    assert "MultiQC complete" in said
    told = [line for line in said.splitlines() if "Strict mode specified" not in line]
    assert not re.search(r"warning|error|fail", "\n".join(told), re.IGNORECASE), said
    assert (folder / "out" / "multiqc_report.html").stat().st_size < 5e6
    return folder / "out" / "multiqc_data"


def rows_of(table: Path) -> dict[str, dict[str, str]]:
    with open(table) as file:
        return {row.pop("Sample"): row for row in csv.DictReader(file, delimiter="\t")}


def test_multiqc_shows_general_statistics(multiqc_data):
    rows = rows_of(multiqc_data / "multiqc_general_stats.txt")
    prefix = "custom_content_cellquilt_general-"
    assert set(rows) == {"tonsil", "spleen", "nuclei"}
    assert float(rows["spleen"][f"{prefix}n_cells"]) == 2000
    assert float(rows["tonsil"][f"{prefix}matched_percent"]) == 81.25
    assert float(rows["tonsil"][f"{prefix}certified_percent"]) == 99
    assert float(rows["nuclei"][f"{prefix}certified_percent"]) == 100
    assert rows["nuclei"][f"{prefix}n_cells"] == ""


def test_multiqc_shows_a_section_for_each_plot(multiqc_data):
    report = json.loads((multiqc_data / "multiqc_data.json").read_text())
    plots = {"status", "cell_area", "nucleus_area"}
    assert {f"cellquilt_{name}_plot" for name in plots} <= set(report["report_plot_data"])
    bars = rows_of(multiqc_data / "multiqc_cellquilt_status_plot.txt")
    assert list(bars["spleen"]) == list(multiqc.STATUSES) and set(bars) == {"tonsil", "spleen"}
    assert float(bars["spleen"]["matched"]) == 1700
    text = (multiqc_data / "multiqc_cellquilt_nucleus_area_plot.txt").read_text()
    lines = dict(line.split("\t", 1) for line in text.splitlines())
    assert set(lines) == {"tonsil", "spleen", "nuclei"}
    points = [json.loads(point) for point in lines["spleen"].split("\t")]
    assert points == [[2.5, 0], [7.5, 10], [12.5, 60], [17.5, 20], [22.5, 10]]


def test_multiqc_shows_what_needs_attention(multiqc_data):
    rows = rows_of(multiqc_data / "multiqc_cellquilt_attention_table.txt")
    assert set(rows) == {"tonsil", "spleen"}  # nothing of the nuclei
    assert "38 cells are not tiling verified" in rows["spleen"]["text"]
    assert "a.tif: &lt;b&gt;labels&lt;/b&gt;" in rows["spleen"]["text"]


def test_multiqc_has_every_status():
    assert tuple(multiqc.STATUSES) == step_files.STATUSES


def test_multiqc_gets_nothing_of_samples_without_objects(tmp_path):
    empty = sample("glass")
    empty["summary"] |= {"n_cells": 0, "n_nuclei": 0, "matched_fraction": None}
    empty["n_by_status"] = dict.fromkeys(multiqc.STATUSES, 0)
    for distribution in empty["distributions"].values():
        distribution |= {"n": 0, "counts": []}
    paths = multiqc.write([empty], [], tmp_path)
    assert [path.name for path in paths] == [
        "cellquilt_general_mqc.json",
        "cellquilt_attention_mqc.json",
        "cellquilt_status_mqc.json",
    ]
    row = json.loads(paths[0].read_text())["data"]["glass"]
    assert "matched_percent" not in row and "certified_percent" not in row
