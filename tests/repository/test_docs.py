"""The documents against the schema, the configuration, the modules and real outputs."""

import json
import math
import re
import runpy
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.steps import plan_store, write_slide

from cellquilt import __version__, exports
from cellquilt.cells import cell_table, flags
from cellquilt.compartments import PLURALS, parameter_of
from cellquilt.exports import mcmicro
from cellquilt.labelling.thresholds import Thresholds
from cellquilt.planning import tables
from cellquilt.reports.findings import MINOR
from cellquilt.reports.summary import summarise
from cellquilt.slides.ingest import Request, ingest
from cellquilt.slides.region_file import read_regions

FILE_NAME = re.compile(r"`([a-z_]+\.(?:ome\.tif|csv|json|png|pickle|yml|txt|html))`")
# What no step writes: named in nextflow.config, main.nf and workflows/published.nf
OF_THE_RUN = {"cellquilt_software_mqc_versions.yml", "execution_trace.txt", "execution_report.html"}
OF_THE_RUN |= {"files.json"}
SOURCES = ("nextflow.config", "main.nf", "workflows/published.nf")


@pytest.fixture(scope="module")
def schema(repo) -> dict[str, dict]:
    """Return the parameters of the schema by name, in order."""
    groups = json.loads((repo / "nextflow_schema.json").read_text())["$defs"].values()
    return {name: prop for group in groups for name, prop in group["properties"].items()}


@pytest.fixture(scope="module")
def config(repo) -> str:
    return (repo / "nextflow.config").read_text()


@pytest.fixture(scope="module")
def outputs_page(repo) -> str:
    return (repo / "docs" / "outputs.md").read_text()


def test_the_page_of_parameters_is_the_schemas(repo, schema):
    made = runpy.run_path(str(repo / "tools" / "parameters.py"))["page"]()
    written = (repo / "docs" / "parameters.md").read_text()
    assert written == made, "run tools/parameters.py"
    assert re.findall(r"^\| `--(\w+)` \| ", written, re.MULTILINE) == list(schema)


def text_of(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def test_schemas_defaults_are_the_configurations(config, schema):
    block = re.search(r"^params \{\n(.*?)^\}", config, re.DOTALL | re.MULTILINE)[1]
    params = dict(re.findall(r"^ +(\w+) += (.+)$", block, re.MULTILINE))
    assert list(params) == list(schema)
    for name, written in params.items():
        if "System.getenv" in written:
            assert "default" not in schema[name]
        else:
            value = None if written == "null" else written.strip("'")
            default = schema[name].get("default")
            assert value == (None if default is None else text_of(default)), name


def test_scripts_take_thresholds_of_the_schemas_type(schema):
    """A whole number as default must not make a script refuse the fractions that are allowed."""
    types = {"integer": int, "number": float}
    for compartment in PLURALS:
        for field in fields(Thresholds):
            parameter = schema[f"{parameter_of(compartment)}_{field.name}"]
            assert field.type is types[parameter["type"]], field.name


def test_every_parameter_that_a_document_names_is_there(repo, schema):
    # of the pipeline that uses a module, arguments of CHAIN, of tools, and Cellpose's
    examples = {"masks", "facts", "to_table", "max_mpx", "platform", "push", "built", "save_tif"}
    # cloud.md has the clouds' own options too; test_profiles.py checks its commands
    pages = [path for path in (repo / "docs").glob("*.md") if path.name != "cloud.md"]
    for page in [repo / "README.md", *pages]:
        named = set(re.findall(r"(?<![\w-])--([a-z][a-z_]+)(?![\w*-])", page.read_text()))
        assert named - examples <= set(schema), page.name


def test_one_version_everywhere(repo, config):
    assert re.search(r"^ +version +=( )'(.+)'$", config, re.MULTILINE)[2] == __version__
    changes = (repo / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (?!Unreleased$)(\S+)", changes, re.MULTILINE)[0] == __version__
    build = (repo / "tools" / "build-images.sh").read_text()
    assert re.search(r"^VERSION=(.+)$", build, re.MULTILINE)[1] == __version__
    for containerfile in (repo / "containers").glob("*/Containerfile"):
        assert f'image.version="{__version__}"' in containerfile.read_text()


def test_modules_run_in_the_images_that_are_built(repo):
    script = (repo / "tools" / "build-images.sh").read_text()
    tags = re.findall(r'build (\w+) "(\w+:\$VERSION(?:-gpu)?)"', script)
    built = {f"cellquilt/{tag.replace('$VERSION', __version__)}" for _, tag in tags}
    assert {folder for folder, _ in tags} == {p.name for p in (repo / "containers").iterdir()}
    used = set()
    for module in (repo / "modules").glob("*/main.nf"):
        if "    exec:\n" in module.read_text():  # by Nextflow itself
            continue
        (image,) = re.findall(r"^ +container ['\"](.+)['\"]$", module.read_text(), re.MULTILINE)
        plain, conditional = re.fullmatch(r"([^$]+)(\$\{.* \? '-gpu' : ''\})?", image).groups()
        used |= {plain, f"{plain}-gpu"} if conditional else {plain}
    assert used == built


@pytest.fixture(scope="module")
def results(bin_script, tissue_image, tmp_path_factory) -> Path:
    """Return a sample's folder with the real files of every step but the network's.

    The masks and STITCH's files are the stubs'.
    """
    folder = tmp_path_factory.mktemp("results")
    sample = folder / "sample"
    image = write_slide(folder / "slide.ome.tif", tissue_image)
    tifffile.imwrite(folder / "roi.tif", np.ones(tissue_image.shape[:2], np.uint8))
    request = Request("sample", image, "nuclear", "membrane", roi=folder / "roi.tif")
    facts = ingest(request, folder / "normalised.zip")
    (folder / "sample.json").write_text(json.dumps(facts))
    table, _ = plan_store(folder / "normalised.zip", folder / "tasks")
    table = table.assign(is_informative=False)  # else STITCH wants their labels
    table.to_csv(folder / "patches.csv", index=False)

    def script(name: str, *arguments: str | Path) -> None:
        done = bin_script(name, *arguments, cwd=folder)
        assert done.returncode == 0, done.stderr

    script("stub", "generate", "--outdir", sample)
    script("stub", "contrast", "--outdir", sample)
    for step in ("quantify", "export", "evaluate", "draw", "report", "check", "recommend"):
        of_it = ["--sample", "sample", "--samples", "sample"]  # EXPORT takes several
        script("stub", step, *of_it, "--outdir", sample)
    (sample / "report.json").unlink()  # which travels to REPORT, and is not published
    (sample / "check.txt").unlink()  # which goes to the terminal
    script("stitch", "--facts", "sample.json", "--patches", "patches.csv", "--outdir", sample)
    masks = sample / "segmentation" / "mesmer-sample"
    both = [f"--{name}={masks / f'{name}_original.ome.tif'}" for name in ("cell", "nucleus")]
    more = ["--regions", sample / "regions.csv", "--outdir", sample, "--export_pickle"]
    script("repair", *both, "--facts", "sample.json", *more)
    (sample / "sample.json").write_text(json.dumps(facts))
    return sample


def test_every_output_is_described_and_nothing_else(results, outputs_page, repo):
    written = {path.name for path in results.rglob("*") if path.is_file()}
    # Those that are named after the sample are described by their folders.
    written = {name for name in written if FILE_NAME.fullmatch(f"`{name}`")}
    assert set(FILE_NAME.findall(outputs_page)) == written | OF_THE_RUN
    tree = re.search(r"^```\nresults/\n(.*?)^```$", outputs_page, re.DOTALL | re.MULTILINE)[1]
    optional = {"tissue.ome.tif", "cell_truth.ome.tif", "nucleus_truth.ome.tif"}
    optional |= {"markers.csv", "params.yml", "evaluation.json", "cellquilt_general_mqc.json"}
    optional |= {"benchmark.csv", "throughput.png", "peak_memory.png", "recommendation.json"}
    optional |= {"check.csv"}
    for name in written - optional:
        assert name in tree or name.endswith(".pickle")
    readme = (repo / "README.md").read_text().partition("## What comes out")[2].partition("## ")[0]
    named = set(FILE_NAME.findall(readme))
    assert len(named) > 5 and named <= written | OF_THE_RUN
    sources = "".join((repo / name).read_text() for name in SOURCES)
    assert all(name in sources for name in OF_THE_RUN)


@pytest.mark.parametrize(
    "table", ["patches_metadata.csv", "matches.csv", "uncertified.csv", "regions.csv"]
)
def test_every_column_is_described(results, outputs_page, table):
    columns = (results / table).read_text().splitlines()[0].split(",")
    assert len(columns) > 3
    described = section(outputs_page, table)
    assert [column for column in columns if f"`{column}`" not in described] == []


def test_every_column_of_a_check_is_described(outputs_page):
    described = section(outputs_page, "check.csv")
    assert [name for name in tables.COLUMNS if f"`{name}`" not in described] == []


def test_every_column_of_the_table_of_cells_is_described(results, outputs_page):
    described = section(outputs_page, "quantification/<sample>.parquet")
    columns = list(cell_table.read(results / "quantification" / "sample.parquet"))
    # What is said of cells holds for nuclei.
    plain = [name.removesuffix("stub") for name in columns]
    plain = [
        re.sub(r"_um$", "_px", re.sub("^nucleus_(?!label|area|cert|mean)", "cell_", n))
        for n in plain
    ]
    known = described.replace("<channel>", "")
    assert [name for name in plain if f"`{name}`" not in known] == []


def test_every_flag_is_described(outputs_page, schema, repo):
    table = section(outputs_page, "quantification/<sample>.parquet")
    assert [name for name in flags.COLUMNS if f"`{name}`" not in table] == []
    counted = section(outputs_page, "summary.json")
    assert all(f"`{name}`" in counted for name in ("n_flagged", "flags", "flag_limits"))
    template = repo / "bin" / "cellquilt" / "reports" / "templates" / "parts.html.j2"
    assert [flag for flag in flags.FLAGS if f'"{flag}": ' not in template.read_text()] == []
    for name, limit in flags.LIMITS.items():
        assert f"`--{name}`" in table and schema[name]["type"] == "number"
        assert (schema[name]["minimum"], schema[name].get("maximum", math.inf)) == (
            0,
            limit.largest,
        )


def test_own_columns_cannot_have_the_names_of_the_tables(results, repo):
    """The schema of samplesheets has rules for them, in small letters."""
    schema = json.loads((repo / "assets" / "schema_input.json").read_text())
    enums, pattern = [], None
    for rule in schema["items"]["propertyNames"]["not"]["anyOf"]:
        enums += rule.get("enum", [])
        pattern = rule.get("pattern", pattern)
    columns = list(cell_table.read(results / "quantification" / "sample.parquet"))
    columns += [*mcmicro.BEFORE, *mcmicro.AFTER, "region", *flags.COLUMNS]
    known = [*schema["items"]["properties"]]
    free = [
        name
        for name in columns
        if not (name.lower() in enums or re.search(pattern, name.lower()) or name in known)
    ]
    assert free == []
    assert not re.search(pattern, "cell_line") and not re.search(pattern, "cell_type")


def test_formats_are_those_that_there_are(outputs_page, repo, schema):
    pages = outputs_page, (repo / "README.md").read_text()
    for page in pages:
        table = re.search(
            r"^\| `--formats` \| (?:file|opens).*?\n\n", page, re.DOTALL | re.MULTILINE
        )[0]
        assert re.findall(r"^\| `([a-z][a-z0-9-]+)` \|", table, re.MULTILINE) == list(
            exports.FORMATS
        )
    pattern = schema["formats"]["pattern"]
    assert all(re.fullmatch(pattern, name) for name in [*exports.FORMATS, "none", "csv,hubmap"])
    assert not re.fullmatch(pattern, "csv,tiff")
    assert schema["export_cells"]["enum"] == list(cell_table.WHICH)


def section(page: str, file_name: str) -> str:
    (found,) = re.findall(rf"^## (?:.*)`{file_name}`.*?(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    return found


@pytest.mark.parametrize(
    "file_name", ["sample.json", "provenance.json", "stitch.json", "repair_metrics.json"]
)
def test_every_field_is_described(results, outputs_page, file_name):
    described = section(outputs_page, file_name)
    facts = json.loads((results / file_name).read_text())
    nested = [*facts.get("image", {}), *facts.get("normalisation", {}).get("channels", [{}])[0]]
    if "steps" in facts:
        nested = list(facts["steps"][0])
    for field in [*facts, *nested]:
        assert f"`{field}`" in described or f"`{field}." in described, field


def test_every_status_reason_and_count_is_described(outputs_page, results):
    from cellquilt.cells.matching import STATUSES

    for name in (*STATUSES, "constant", "no_signal", "empty", "dark"):
        assert f"`{name}`" in outputs_page
    counts = json.loads((results / "repair_metrics.json").read_text())
    masks = {
        path.name.removesuffix(".ome.tif"): path
        for path in (results / "segmentation" / "mesmer-sample").iterdir()
    }
    facts = json.loads((results / "sample.json").read_text())
    for field in summarise(facts, counts, masks, {}, "overlay.png"):
        assert f"`{field}`" in outputs_page


def test_every_notice_is_described(repo, outputs_page):
    python = "".join(path.read_text() for path in (repo / "bin" / "cellquilt").rglob("*.py"))
    codes = set(re.findall(r"Notice\(\s*\"(\w+)\"", python))
    codes |= set(re.findall(r"\"(\w+)\": \(ChannelContent", python))
    table = outputs_page[outputs_page.index("| code | what was noticed |") :].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` ?(\*?) ?[QA]? \|", table, re.MULTILINE)
    assert {code for code, _ in rows} == codes
    assert {code for code, star in rows if star} == MINOR


def test_messages_in_the_docs_are_the_programs(repo):
    """With … for what varies; the parts of a literal are joined as Python joins them."""
    python = "\n".join(path.read_text() for path in (repo / "bin").rglob("*.py"))
    python = re.sub(r"\"\s*\n\s*f?\"", "", python)
    groovy = "\n".join(path.read_text() for path in (repo / "workflows").glob("*.nf"))
    text = re.sub(r"\{[^{}\n]*\}", "…", python) + re.sub(r"\$\{[^{}]*\}", "…", groovy)
    page = (repo / "docs" / "errors.md").read_text()
    table = page[page.index("| message | what to do |") :].split("\n\n")[0]
    messages = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    assert len(messages) > 20
    assert [message for message in messages if message not in text] == []


@pytest.mark.parametrize(("kind", "page"), [("slides", "inputs.md"), ("examples", "training.md")])
def test_example_samplesheets_have_the_columns_of_their_schema(repo, kind, page):
    """The first ones; the last ones are rarely needed."""
    schema = json.loads((repo / "assets" / "schema_input.json").read_text())
    of_kind = schema["$defs"][kind]["items"].get("properties", {})
    columns = [name for name in schema["items"]["properties"] if of_kind.get(name, True)]
    text = (repo / "docs" / page).read_text()
    sheet = re.search(r"^```\n(sample,image,.*?\n)```$", text, re.DOTALL | re.MULTILINE)[1]
    header, *lines = sheet.splitlines()
    assert header.split(",") == columns[: header.count(",") + 1] and lines
    if kind == "slides":
        assert sheet == (repo / "assets" / "samplesheet.csv").read_text()
        table = text[text.index("| column | required | rules |") :].split("\n\n")[0]
        described = re.findall(r"^\| `(\w+)` \| (yes|no) \|", table, re.MULTILINE)
        required = schema["items"]["required"]
        assert described == [(name, "yes" if name in required else "no") for name in columns]


def test_a_region_written_by_hand_is_read(repo, tmp_path):
    page = (repo / "docs" / "start.md").read_text()
    (text,) = re.findall(r"^```json\n(.+?)^```$", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "part.geojson").write_text(text)
    regions, notes = read_regions(tmp_path / "part.geojson", (5000, 5000))
    assert [area.area for area in regions.areas] == [4_000_000] and notes == []


def test_links_between_documents_lead_somewhere(repo):
    for page in [*repo.glob("*.md"), *(repo / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)", page.read_text()):
            path, anchor = target
            linked = page.parent / path if path else page
            assert linked.exists(), (page.name, path)
            if anchor:
                headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
                slugs = {re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings}
                assert anchor[1:] in slugs, (page.name, anchor)


def commands_of(page: Path) -> list[str]:
    """Return the blocks of a page that are for a shell."""
    blocks = re.findall(r"^( *)```bash\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in blocks]


def test_commands_of_documents_are_of_what_is_there(repo):
    """They are for a shell, and scripts, their options and targets of make are there."""
    targets = re.findall(r"^([a-z-]+):", (repo / "Makefile").read_text(), re.MULTILINE)
    helps, found = {}, 0
    for page in [*repo.glob("*.md"), *(repo / "docs").glob("*.md")]:
        for block in commands_of(page):
            done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True)
            assert done.returncode == 0, (page.name, block, done.stderr)
            named = re.findall(r"^make ([a-z-]+)", block, re.MULTILINE)
            assert set(named) <= set(targets), (page.name, named)
            for script in re.findall(r"(?<![\w./])((?:bin|tools)/[\w.-]+)", block):
                assert (repo / script).is_file(), (page.name, script)
            for script, line in re.findall(r"(?<![\w./])(bin/\w+\.py)((?: .*)?)$", block, re.M):
                if script not in helps:
                    command = [sys.executable, repo / script, "--help"]
                    said = subprocess.run(command, capture_output=True, text=True, check=True)
                    helps[script] = said.stdout
                options = re.findall(r"(?<!\S)--\w+", line)
                assert all(option in helps[script] for option in options), (page.name, line)
            found += 1
    assert found > 30 and helps


def test_the_readme_leads_to_every_page_and_stays_short(repo):
    text = (repo / "README.md").read_text()
    pages = {path.name for path in (repo / "docs").glob("*.md")}
    assert pages == {name for name in re.findall(r"docs/(\w+\.md)", text)}
    assert text.count("\n") < 150
