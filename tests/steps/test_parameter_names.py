"""Which names of parameters a person wrote, and what --help says, on real Nextflow.

What is said of each kind of mistyped name is in test_options.py.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.parsers import V1, V2
from support.several import Done

SITE = """params {
    config_profile_name = 'A cluster'
    max_memory          = 128.GB
    genomes             = [a: [fasta: 'b']]
}
"""
TOPICS = ("full", "patch_size", "Frmats")
LIKE_NONE = "All of them: nextflow run . --help full"


@pytest.fixture(scope="module")
def schema(repo) -> dict[str, dict]:
    """Return the parameters of the schema by name, in order."""
    groups = json.loads((repo / "nextflow_schema.json").read_text())["$defs"].values()
    return {name: prop for group in groups for name, prop in group["properties"].items()}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Return a configuration file of a site, in a folder whose name has a space."""
    path = tmp_path_factory.mktemp("sites of") / "a site.config"
    path.write_text(SITE)
    return path


@pytest.fixture(scope="module")
def run(repo, nextflow_command, tmp_path_factory) -> Callable[..., Done]:
    """Return a function that runs the pipeline without a profile, with the strict parser.

    In Nextflow 25.04 that knows no profile of the pipeline where ``-c`` is given.
    """
    default = tmp_path_factory.mktemp("runs")

    def start(
        *options: str | Path, script: Path = repo, folder: Path = default, env: dict = V2
    ) -> Done:
        return nextflow_command("run", script, *options, folder=folder, **env)

    return start


@pytest.mark.parametrize(
    ("name", "text", "env"),
    [
        ("it's.json", '{"patchSize": 384, "a": {"halo": 9},\t"max_memory": "1.GB"}', V1),
        ("own params.yml", "patch-size: 384\na: {halo: 9}\nmax_memory: 1.GB\n", V2),
    ],
)
def test_names_on_the_command_line_and_in_a_params_file_are_refused(
    run, site, tmp_path, name, text, env
):
    """And those that only a configuration file sets are not."""
    (tmp_path / name).write_text(text)
    typed = ["--nuclaer", "DAPI", "--imageMpp=3", "--no-xla", "--data_license", "it's --foo"]
    options = ["-c", site, "-params-file", name, "--demo", *typed]
    done = run(*options, "--config_profile_name", "x", folder=tmp_path, env=env)
    assert done.returncode != 0
    written = "patchSize" if "json" in name else "patch-size"
    assert set(re.findall("--.*: unknown parameter.*$", done.stdout, re.MULTILINE)) == {
        "--nuclaer: unknown parameter. Did you mean --nuclear?",
        "--imageMpp: unknown parameter. Did you mean --image_mpp?",
        "--no-xla: unknown parameter. Did you mean --xla false?",
        f"--{written}: unknown parameter. Did you mean --patch_size?",
        "--a.halo: unknown parameter. Did you mean --halo?",
        f"--max_memory: unknown parameter. {LIKE_NONE}",
        f"--config_profile_name: unknown parameter. {LIKE_NONE}",
    }
    assert "does not have; they are ignored: genomes." in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("demo: true\nmax_memory: 1.GB\n", f"--max_memory: unknown parameter. {LIKE_NONE}"),
        ("demo: true\nhalo: 96\nhalo: 192\n", "-params-file own.yaml is not a readable file of"),
    ],
)
def test_a_params_file_that_the_environment_names_is_read(run, site, tmp_path, text, said):
    """Nextflow itself reads one that has a name twice."""
    (tmp_path / "own.yaml").write_text(text)
    done = run("-c", site, folder=tmp_path, env=V2 | {"NXF_PARAMS_FILE": "own.yaml"})
    assert done.returncode != 0
    assert said in done.stdout


@pytest.mark.parametrize("env", [V1, V2])
def test_a_run_goes_on_where_only_configuration_files_have_other_names(run, site, tmp_path, env):
    (tmp_path / "own.yaml").write_text("patch_size: 384\ndemo: true\n")
    given = ["-c", site, "-params-file", "own.yaml", "--segmenter", "pixelcnn", "-preview"]
    done = run(*given, folder=tmp_path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    names = "config_profile_name, max_memory, genomes"
    assert f"that Cellquilt does not have; they are ignored: {names}." in done.stdout
    assert "WARN: No -profile says where Cellquilt's programs are" in done.stdout


@pytest.fixture(scope="module")
def pages(repo, run, tmp_path_factory) -> dict[str, str]:
    """Return pages of --help by topic, whose lines are to fit a terminal."""
    given = ["--schema", repo / "nextflow_schema.json", "--topics", ",".join(TOPICS)]
    path = tmp_path_factory.mktemp("pages") / "pages.json"
    script = repo / "tests" / "steps" / "pages.nf"
    done = run(*given, "--pages", path, script=script, folder=path.parent)
    assert done.returncode == 0, done.stdout
    found = json.loads(path.read_text())
    assert max(len(line) for page in found.values() for line in page.splitlines()) <= 80
    return found


def test_help_has_the_common_parameters(run, schema):
    """Under the strict parser, where a file with includes is refused if two others include it."""
    done = run("--help")
    assert done.returncode == 0, done.stdout
    text = done.stdout.partition("revision: ")[2].partition("\n")[2]
    assert max(map(len, text.splitlines())) <= 80
    named = re.findall(r"^  --(\w+) ", text, re.MULTILINE)
    assert named == [name for name, prop in schema.items() if not prop.get("hidden")]
    assert named[:4] == ["image", "nuclear", "membrane", "image_mpp"]
    assert named.index("outdir") < named.index("mode") and len(named) < 25
    for text_of_one in ("[whole-cell, nuclear, both; default: both]", "[0.05 to 5]"):
        assert text_of_one in re.sub(r"\s+", " ", text)


def test_help_full_has_every_parameter_with_its_allowed_values(pages, schema):
    text = pages["full"]
    assert re.findall(r"^  --(\w+) ", text, re.MULTILINE) == list(schema)
    entries = re.split(r"^  --", text, flags=re.MULTILINE)[1:]
    for entry, (name, prop) in zip(entries, schema.items(), strict=True):
        said = re.sub(r"\s+", " ", entry)
        assert prop["description"] in said, name
        if "enum" in prop:
            assert f"[{', '.join(prop['enum'])}; default: {prop['default']}]" in said, name
        if "minimum" in prop:
            few, most = prop["minimum"], prop.get("maximum")
            said = said.replace("1E-7", "1e-07")
            assert f"[at least {few}" in said if most is None else f"[{few} to {most}" in said, name


@pytest.mark.parametrize(
    ("topic", "name", "facts"),
    [
        ("patch_size", "patch_size", ["--patch_size INTEGER", "Allowed  at least 192", "1536"]),
        ("Frmats", "formats", ["--formats TEXT", "(none|(csv|h5ad|", "Default  csv,h5ad,geojson"]),
    ],
)
def test_help_of_one_parameter_has_all_about_it(pages, schema, topic, name, facts):
    text = pages[topic]
    said = re.sub(r"\s+", " ", text)
    for part in (schema[name]["description"], schema[name]["help_text"].replace("`", "")):
        assert part in said
    assert all(fact in re.sub(r"\n +", "", text) for fact in facts)
    assert text.count("Group ") == 1


def test_help_of_a_name_like_none_is_refused(run):
    done = run("--help", "weather")
    assert done.returncode != 0
    assert f"--help weather: no parameter has such a name. {LIKE_NONE}" in done.stdout
