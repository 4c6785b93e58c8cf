"""Profiles: what each gives to a task, and whether docs/cloud.md lists all required settings.

Clouds' executors are plugins, which are not available here: their tasks are run on this machine,
with the directives of the profile. Slurm is tests/system/profiles/sbatch; a real one is in
tests/system/test_slurm.py.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.parsers import V1
from support.several import Done, Nextflow

from cellquilt.mesmer.card import FORMAT

# tests/system/profiles/sbatch makes the first one Google's 50001, and the second one no exit code
LOST, NO_CODE, KILLED = 99, 98, 137

# What Nextflow's executor cannot do without, and no profile can know
REQUIRED = {
    "slurm": {"process.queue"},
    "awsbatch": {"process.queue", "aws.region", "docker.registry"},
    "googlebatch": {"google.project", "google.location", "docker.registry"},
    "azurebatch": {
        "azure.storage.accountName",
        "azure.batch.accountName",
        "azure.batch.location",
        "azure.registry.server",
        "docker.registry",
    },
}
SECTIONS = {
    "slurm": ("Slurm", "/shared"),
    "awsbatch": ("AWS Batch", "s3://$BUCKET"),
    "googlebatch": ("Google Cloud Batch", "gs://$BUCKET"),
    "azurebatch": ("Azure Batch", "az://cellquilt"),
}
CLOUDS = list(SECTIONS)[1:]
ENGINES = ("docker", "podman", "singularity", "apptainer")


@pytest.fixture(scope="module")
def command(nextflow_command, tmp_path_factory) -> Callable[..., str]:
    """Return a function that runs a command of Nextflow and returns what it prints."""
    default = tmp_path_factory.mktemp("profiles")

    def run(*arguments: str | Path, folder: Path = default) -> str:
        done = nextflow_command(*arguments, folder=folder, **V1)
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


@pytest.fixture(scope="module")
def settings(repo, command, site) -> dict[str, dict[str, str]]:
    """Return of profiles each setting, as Nextflow writes it; with a cluster or cloud, its site's.

    Whatever the profile, none of these is an image: modules alone name them.
    """
    own = {f"{profile},gpu": ["-c", site(profile)] for profile in REQUIRED}
    combined = ["local", "docker", "test,local", "test_full,local", *own]
    combined += [f"demo,{engine},gpu" for engine in ENGINES]
    flat = ["config", repo, "-flat", "-profile"]
    resolved = {}
    for profiles in combined:
        said = command(*own.get(profiles, []), *flat, profiles)
        found = dict(re.findall(r"^([\w.':|]+) = (.+)$", said, re.MULTILINE))
        assert len(found) > 100 and not [name for name in found if name.endswith(".container")]
        resolved[profiles] = found
    return resolved


@pytest.fixture(scope="module")
def page(repo) -> str:
    return (repo / "docs" / "cloud.md").read_text()


def section(page: str, profile: str) -> str:
    """Return what docs/cloud.md has under the heading of a profile."""
    title = re.escape(SECTIONS[profile][0])
    return re.search(rf"^## {title}\n(.*?)^## ", page, re.DOTALL | re.MULTILINE)[1]


@pytest.fixture(scope="module")
def site(page, tmp_path_factory) -> Callable[[str], Path]:
    """Return a function that writes a profile's site.config of docs/cloud.md."""
    folder = tmp_path_factory.mktemp("sites")

    def write(profile: str) -> Path:
        blocks = r"`site\.config`.*?```groovy\n(.*?)```"
        (first, *_) = re.findall(blocks, section(page, profile), re.DOTALL)
        path = folder / f"{profile}.config"
        path.write_text(first)
        return path

    return write


@dataclass(frozen=True)
class Ended:
    """A run that has ended, and the folder of its tasks."""

    done: Done
    work: Path

    @property
    def given(self) -> dict[tuple[str, int], dict]:
        """What the tasks of probe.nf were given, by process and attempt."""
        notes = [json.loads(path.read_text()) for path in self.work.glob("*/*/given.json")]
        return {(note["process"], note["attempt"]): note for note in notes}

    @property
    def jobs(self) -> list[str]:
        """What was given to Slurm."""
        return [path.read_text() for path in self.work.glob("*/*/.command.run")]


@pytest.fixture(scope="module")
def ended(repo, site, page, tmp_path_factory) -> Callable[[str], Ended]:
    """Return a function that gives one of many runs.

    They are of probe.nf on this machine with a cloud's profile and on Slurm with more settings,
    of MODEL by where its results are kept, and of a task that is too large.
    """
    folder = tmp_path_factory.mktemp("runs")
    probe = repo / "tests" / "system" / "profiles" / "probe.nf"
    commands: dict[str, list[str | Path]] = {}

    def add(name: str, script: Path, settings: str, options: list[str], *sites: Path) -> None:
        own = folder / name.replace(" ", "-")
        own.mkdir()
        (own / "more.config").write_text(settings)
        configs = [repo / "nextflow.config", *sites, own / "more.config"]
        sources = [word for path in configs for word in ("-c", path)]
        places = ["-work-dir", own / "work", "--outdir", own / "results"]
        commands[name] = ["run", script, *sources, *options, *places]

    for profile in CLOUDS:
        machine = "executor.cpus = 16\nexecutor.memory = 64.GB\nparams.codes = ''\n"
        options = ["-process.executor", "local", "--formats", "csv,spatialdata"]
        add(profile, probe, machine, ["-profile", f"{profile},gpu", *options], site(profile))
    for name, more in on_slurm(page).items():
        add(name, probe, QUICK + more, ["-profile", "slurm,apptainer,gpu"], site("slurm"))
    (folder / "model.nf").write_text(MODEL)
    for name, (cloud, cache, _) in KEPT.items():
        more = f"process.ext.cloud = {cloud}\n"
        add(name, folder / "model.nf", more, ["--model_cache", cache])
    (folder / "large.nf").write_text(TOO_LARGE)
    add("too large", folder / "large.nf", QUICK, [])

    tools = folder / "tools"
    tools.mkdir()
    (tools / "sbatch").symlink_to(probe.with_name("sbatch"))
    (tools / "squeue").symlink_to("/bin/true")
    place = tmp_path_factory.mktemp("nextflow")
    with Nextflow(place, PATH=f"{tools}:{os.environ['PATH']}") as nextflow:
        found = {
            name: nextflow.run(*words, folder=folder, **V1) for name, words in commands.items()
        }

    def one(name: str) -> Ended:
        assert found[name].returncode == 0, found[name].stdout
        return Ended(found[name], folder / name.replace(" ", "-") / "work")

    return one


def test_every_profile_is_described(repo):
    config = (repo / "nextflow.config").read_text()
    block = re.search(r"^profiles \{\n(.*?)^\}", config, re.DOTALL | re.MULTILINE)[1]
    usage = (repo / "docs" / "usage.md").read_text()
    table = usage[usage.index("| profile | what it does |") :].split("\n\n")[0]
    first_cells = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    named = re.findall(r"`(\w+)`", " ".join(first_cells))
    assert sorted(named) == sorted(re.findall(r"^    (\w+) \{", block, re.MULTILINE))


@pytest.mark.parametrize(
    ("engine", "option"),
    [
        ("docker", "--gpus all"),
        ("podman", "--device nvidia.com/gpu=all"),
        ("singularity", "--nv"),
        ("apptainer", "--nv"),
    ],
)
def test_engines_give_their_gpu_to_gpu_tasks_only_and_no_network(settings, engine, option):
    """And the folder of the locks on GPUs."""
    found = settings[f"demo,{engine},gpu"]
    sealed = "--network none" if engine in ("docker", "podman") else None
    given = f'"{option} -B ${{task.ext?.gpu_mount}}" : null'
    if sealed:
        given = f"\"{sealed} {option} -v ${{task.ext?.gpu_mount}}\" : '{sealed}'"
    model = "task.ext?.network ? null : " if sealed else ""
    assert found["process.containerOptions"] == f"{{ {model}task.accelerator ? {given} }}"
    assert found[f"{engine}.enabled"] == "true"
    assert found[f"{engine}.envWhitelist"] == "'CUDA_VISIBLE_DEVICES'"
    assert (found["params.device"], found["params.demo"]) == ("'gpu'", "true")
    assert "process.executor" not in found


def test_a_profile_takes_nothing_from_what_model_is_told(settings):
    plain, docker = (
        {name: value for name, value in settings[profile].items() if "withName:MODEL" in name}
        for profile in ("local", "docker")
    )
    assert plain == docker and len(plain) >= 4


def test_the_test_profiles_need_no_licence_and_no_download(repo, settings, command, tmp_path):
    """And GENERATE keeps what the pipeline says of it: its tissue is published."""
    for profile in ("test", "test_full"):
        found = settings[f"{profile},local"]
        assert (found["params.demo"], found["params.segmenter"]) == ("true", "'pixelcnn'")
    said = command("run", repo, "-profile", "test,local", "-stub", folder=tmp_path)
    assert "SEGMENTATION:MODEL" not in said
    assert (tmp_path / "results" / "demo" / "tissue.ome.tif").exists()


def test_local_needs_no_container(settings):
    found = settings["local"]
    assert "environments}" in found["process.beforeScript"]
    assert {name for name in found if name.endswith(".enabled")} == {
        "trace.enabled",
        "report.enabled",
    }


def test_nothing_but_a_profile_chooses_where_tasks_run(repo):
    """Seqera Platform and a user's own settings do, without any profile."""
    shared = ["nextflow.config", "conf/base.config", "conf/modules.config"]
    for path in [repo / name for name in shared] + modules(repo):
        assert not re.search(r"^\s*(process\.)?(executor|queue)\b", path.read_text(), re.MULTILINE)


def test_no_profile_repeats_a_selector_of_the_pipeline(repo):
    """Until 26.04 Nextflow lets it replace all that the pipeline says of those processes."""
    pattern = r"with(?:Name|Label): *'([^']+)'"
    named = [
        re.findall(pattern, (repo / "conf" / f"{name}.config").read_text())
        for name in ("base", "modules")
    ]
    for config in ("nextflow", *(f"conf/{profile}" for profile in REQUIRED)):
        text = (repo / f"{config}.config").read_text()
        assert set(re.findall(pattern, text)).isdisjoint(named[0] + named[1]), config


@pytest.fixture(scope="module")
def images(repo, command, tmp_path_factory) -> Callable[..., dict[str, str]]:
    """Return a function that resolves profiles with more settings to the image of each process."""

    def inspect(profiles: str, more: str, *given: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("inspected")
        (folder / "more.config").write_text(more)
        options = ["-c", folder / "more.config", "-profile", profiles, "-format", "json"]
        demo = ["--demo", "--accept_mesmer_license"]
        said = command("inspect", *options, repo, *demo, *given, folder=folder)
        return {entry["name"]: entry["container"] for entry in json.loads(said)["processes"]}

    return inspect


def modules(repo: Path) -> list[Path]:
    """Return the modules that run a script; what Nextflow runs itself has no image."""
    found = (repo / "modules").glob("*/main.nf")
    return [path for path in found if "    exec:\n" not in path.read_text()]


def images_of(repo: Path, gpu: str, registry: str = "") -> dict[str, str]:
    """Return the image of each process, those that use a GPU with an ending."""
    on_gpu = {"CHAIN", "SEGMENT", "CLASSIFY", "INFER", "TRAIN", "MEASURE"}
    others = {"MODEL": "deepcell:0.1.0", "EXPORT": "export:0.1.0", "EVALUATE": "evaluate:0.1.0"}
    names = {path.parent.name.upper() for path in modules(repo)}
    runtime = {name: f"runtime:0.1.0{gpu if name in on_gpu else ''}" for name in names}
    return {name: f"{registry}cellquilt/{image}" for name, image in (runtime | others).items()}


EVERYONES = ("--registry", "registry.example:5000/everyone")


def test_images_come_from_the_registry_that_is_asked_for(repo, images):
    assert images("docker,gpu", "", *EVERYONES) == images_of(repo, "-gpu", f"{EVERYONES[1]}/")


@pytest.mark.slow
def test_profiles_are_resolved_by_inspect(repo, images):
    """With a cloud, without GPUs, and with a registry of one's own, stronger than the parameter.

    No other profile names an image, which is looked at where its settings are.
    """
    # Executors of clouds are plugins, which are not here
    assert images("googlebatch,gpu", "process.executor = 'local'\n") == images_of(repo, "-gpu")
    assert images("docker", "") == images_of(repo, "")
    own = images("podman", "podman.registry = 'registry.example/lab'\n", *EVERYONES)
    assert own == images_of(repo, "", "registry.example/lab/")


# Of runs on Slurm
QUICK = "executor.pollInterval = '1s'\nexecutor.queueStatInterval = '1s'\n"


def on_slurm(page: str) -> dict[str, str]:
    """Return the settings of the runs of probe.nf on Slurm."""
    limits = "process.resourceLimits = [memory: 15.GB, time: 10.h]\n"
    own = "process { withName: 'EXPORT' { memory = '9 GB' } }\n"
    no_code = f"executor.exitReadTimeout = '1s'\nparams.codes = '{KILLED},{NO_CODE}'\n"
    return {
        "slurm": limits + own + f"params.codes = '{KILLED},{LOST}'\n",
        "no code in a cloud": "process.ext.cloud = { task.executor == 'slurm' }\n" + no_code,
        "no code elsewhere": "process.ext.cloud = { task.executor != 'slurm' }\n" + no_code,
        "options of sites": "\n".join([*documented_options(page).values(), "params.codes = ''\n"]),
    }


def documented_options(page: str) -> dict[str, str]:
    """Return the settings that docs/cloud.md has for sites with Slurm."""
    table = section(page, "slurm").partition("| your site | add |")[2].partition("\n\n")[0]
    options = dict(re.findall(r"^\| (.+?) \| `(.+?)`", table, re.MULTILINE))
    assert len(options) == table.count("\n") - 1
    return options


def test_slurm_jobs(ended):
    """Partition, GPU and limits, a job array, and retries with more memory only where it helps.

    Of the array, the task that fails is tried again alone. A user's own memory wins.
    """
    jobs, tasks = ended("slurm").jobs, ended("slurm").given
    tries = (1, 2, 3)
    assert set(tasks) == {(name, n) for name in ("SEGMENT", "DRAW") for n in tries} | {
        ("EXPORT", 1)
    }
    assert [tasks["DRAW", n]["memory"] for n in tries] == [3, 6, 6]
    assert [tasks["SEGMENT", n]["memory"] for n in tries] == [14, 15, 15]
    assert (tasks["EXPORT", 1]["memory"], tasks["EXPORT", 1]["environment"]) == (9, "export")
    assert [tasks["DRAW", n]["hours"] for n in tries] == [4, 8, 10]
    locks = "/tmp/cellquilt-gpu-locks"
    mount = f"--nv -B $(mkdir -pm 1777 {locks}){locks}:{locks}"
    assert [tasks["SEGMENT", n]["options"] for n in tries] == [mount] * 3
    assert tasks["SEGMENT", 1]["args"].endswith(f"--tasks_per_gpu 1 --gpu_locks {locks}")
    assert tasks["DRAW", 1]["options"] is None

    (array,) = [job for job in jobs if "#SBATCH --array" in job]
    assert "apptainer exec" not in array
    for line in ("--array 0-2", "--gres=gpu:1", "-p gpu", "-c 4", "--mem 14336M", "-t 04:00:00"):
        assert f"#SBATCH {line}\n" in array
    assert sum("--gres" in job for job in jobs) == 1 + 3 + 2  # array, its tasks, tried again


@pytest.mark.parametrize(("where", "last"), [("in a cloud", (6, 28)), ("elsewhere", (12, 56))])
def test_no_exit_code_is_of_a_lost_machine_in_a_cloud_alone(ended, where, last):
    """Slurm gives none of a job that it kills for memory. Its executor stands for a cloud's."""
    tasks = ended(f"no code {where}").given
    assert (tasks["DRAW", 2]["memory"], tasks["SEGMENT", 2]["memory"]) == (6, 28)
    assert (tasks["DRAW", 3]["memory"], tasks["SEGMENT", 3]["memory"]) == last


MODEL = "process MODEL {\n script:\n 'echo ' + task.ext.cache\n}\nworkflow { MODEL() }\n"
# Whether tasks are in a cloud, --model_cache, and where MODEL keeps its results
KEPT = {
    "here": ("false", "/there", f"/there/format-{FORMAT}-wheel"),
    "cloud": ("true", "/there", "null"),
    "bucket": ("true", "s3://bucket/there", f"s3://bucket/there/format-{FORMAT}-wheel"),
}


@pytest.mark.parametrize("kind", KEPT)
def test_tasks_in_a_bucket_keep_no_model_in_a_local_folder(ended, kind):
    """Also where the run's own folder is local, as with -bucket-dir."""
    (said,) = ended(kind).work.glob("*/*/.command.out")
    assert said.read_text() == f"{KEPT[kind][-1]}\n"


def test_documented_options_of_slurm_sites_reach_the_jobs(ended):
    jobs = ended("options of sites").jobs
    (array,) = [job for job in jobs if "#SBATCH --array" in job]
    for line in ("-A lab", "--mem-per-cpu 3584M", "--gpus=1 --constraint=a100", "-p gpu"):
        assert f"#SBATCH {line}\n" in array, array[:600]
    assert "--gres" not in array
    assert sum("$TMPDIR" in job for job in jobs) == len(jobs) - 1  # an array copies nothing itself
    assert sum("--constraint" in job for job in jobs) == 1 + 3


@pytest.mark.parametrize("profile", CLOUDS)
def test_clouds_give_a_task_what_it_needs(ended, profile):
    tasks = ended(profile).given
    segment, draw = tasks["SEGMENT", 1], tasks["DRAW", 1]
    kind = "nvidia-tesla-t4" if profile == "googlebatch" else None
    assert segment["gpu"] == [1, kind]
    assert draw["gpu"] is None
    assert (segment["memory"], segment["cpus"]) == (14, 4)
    assert (draw["memory"], draw["cpus"]) == (3, 1)
    machines = ("n1-highmem-4", None) if profile == "googlebatch" else (None, None)
    assert (segment["machine"], draw["machine"]) == machines
    queues = {
        "awsbatch": ("cellquilt-gpu", "cellquilt-cpu"),
        "googlebatch": (None, None),
        "azurebatch": ("cellquilt_gpu", "cellquilt_cpu"),
    }
    assert (segment["queue"], draw["queue"]) == queues[profile]
    # It runs them under an account of its own. The images' may not write where the others start.
    expected = None if profile == "azurebatch" else "--user root"
    assert segment["options"] == draw["options"] == expected


def test_export_has_room_for_spatialdata(ended):
    """Which takes nothing of what else conf/ says of it."""
    task = ended("awsbatch").given["EXPORT", 1]
    assert (task["memory"], task["environment"]) == (12, "export")
    assert task["args"] == "--formats csv,spatialdata --cells matched"


@pytest.mark.parametrize("profile", list(REQUIRED))
def test_documented_values_complete_the_profile(settings, profile):
    """And the profile has the rest: spot machines, retries, limits, labels."""
    found = settings[f"{profile},gpu"]
    assert found.keys() >= REQUIRED[profile] | {"process.resourceLimits"}
    assert found["params.device"] == "'gpu'"
    executors = {"googlebatch": "google-batch"}
    executor = f"'{executors.get(profile, profile)}'"
    assert found["process.executor"] == executor
    assert (executor in found["process.ext.cloud"]) == (profile in CLOUDS)
    assert "task.exitStatus in task.ext.retried ? 'retry'" in found["process.errorStrategy"]
    assert {137, 143, 247, *range(50001, 50007), 2**31 - 1} <= retried(found)
    assert retried(found).isdisjoint([1, 65])
    if profile in CLOUDS:
        assert found["process.resourceLabels"] == "[pipeline:'cellquilt']"
        assert "docker.enabled" not in found  # the cloud's own engine, with other options
    if profile in ("awsbatch", "googlebatch"):
        scope = profile.removesuffix("batch")
        assert found[f"{scope}.batch.maxSpotAttempts"] == "3"


def retried(found: dict[str, str]) -> set[int]:
    """Return the exit codes after which a configuration tries a task again."""
    text = found["process.ext.retried"] + found["process.ext.lost_machine"]
    spans = re.findall(r"(\d+)\.\.(\d+)", text)
    codes = {code for first, last in spans for code in range(int(first), int(last) + 1)}
    return codes | {int(code) for code in re.findall(r"\d+", text)}


@pytest.mark.parametrize(("state", "code"), [("VALID", 0), ("INVALID", 1), ("", 1)])
def test_documented_wait_for_machines_of_aws_ends(page, tmp_path, state, code):
    functions = re.search(r"^about\(\).*?(?=^create cellquilt)", page, re.DOTALL | re.MULTILINE)[0]
    answers = f"*Reason*) echo no such type ;; *.status*) echo {state} ;; *queue*) touch queue ;;"
    script = f'aws() {{ case "$*" in {answers} esac; }}\n{functions}\ncreate a m6i'
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, (tmp_path / "queue").exists()) == (code, code == 0)
    assert done.stdout == ("no such type\n" if code else "")


@pytest.mark.parametrize("profile", list(REQUIRED))
def test_the_profile_itself_says_what_it_needs(repo, page, profile):
    text = (repo / "conf" / f"{profile}.config").read_text()
    header = "".join(line for line in text.splitlines(True) if line.startswith("//"))
    row = re.search(rf"^\| `{profile}` \|.*$", page, re.MULTILINE)[0]
    for value in REQUIRED[profile]:
        assert value in header, value
        assert f"`{value}`" in row, value


@pytest.mark.parametrize("profile", list(REQUIRED))
def test_documented_command_is_complete(page, profile):
    text = section(page, profile)
    (run,) = re.findall(r"^nextflow run (?:.*\\\n)*.*$", text, re.MULTILINE)
    place = SECTIONS[profile][1]
    assert re.search(rf"-profile {profile}\b", run)
    for option in ("-c site.config", "--input samplesheet.csv", "--accept_mesmer_license"):
        assert option in run
    assert f"-work-dir {place}/work" in run
    assert f"--model_cache {place}/models" in run
    if profile in CLOUDS:
        assert f"--outdir {place}/results" in run
    # Each variable of a command is set before it.
    for match in re.finditer(r"\$\{?([A-Z][A-Z_]+)\b", text):
        before = text[: match.start()]
        assert re.search(rf"\b{match[1]}=", before) or match[1] == "TMPDIR", match[1]


def test_every_parameter_of_the_commands_is_there(repo, page):
    groups = json.loads((repo / "nextflow_schema.json").read_text())["$defs"].values()
    known = {name for group in groups for name in group["properties"]}
    runs = re.findall(r"^nextflow run (?:.*\\\n)*.*$", page, re.MULTILINE)
    assert len(runs) == len(REQUIRED)
    assert set(re.findall(r" --([a-z_]+)", " ".join(runs))) <= known


def test_images_that_are_pushed_are_those_that_are_built(repo, page):
    """Each loop or push of images, with its comment, has all that tools/build-images.sh makes."""
    script = (repo / "tools" / "build-images.sh").read_text()
    version = re.search(r"^VERSION=(.+)$", script, re.MULTILINE)[1]
    tags = re.findall(r'build \w+ "(\S+)"', script)
    built = {tag.replace("$VERSION", version) for tag in tags}
    loops = re.findall(r"^for image in (.+)$", page, re.MULTILINE)
    assert len(loops) == 2
    for loop in loops:
        assert set(re.findall(r"\w+:[\d.]+(?:-gpu)?", loop)) == built
    (push,) = re.findall(r"^tools/build-images.sh --push \$REGISTRY (.+)$", page, re.MULTILINE)
    names = set(re.findall(r"^ +([a-z-]+)\) build ", script, re.MULTILINE)) | {"runtime-gpu"}
    assert set(re.findall(r"[a-z-]+", push.replace("and", ""))) == names


TOO_LARGE = """
process HERE {
    cpus 999
    memory 999.TB

    script:
    "echo ${task.cpus} ${task.memory.toBytes()} > here"
}

process THERE {
    executor 'slurm'
    array 2
    cpus 999
    memory 999.TB

    input:
    val number

    script:
    "echo ${task.cpus} ${task.memory} > there"
}

workflow {
    HERE()
    THERE(channel.of(1, 2))
}
"""


def test_a_small_machine_gives_a_step_what_it_has(ended):
    """Where Nextflow would end the run. What runs elsewhere is not held to this machine's size."""
    work = ended("too large").work
    (here,) = work.glob("*/*/here")
    cpus, memory = map(int, here.read_text().split())
    assert cpus == len(os.sched_getaffinity(0))
    assert 0 < memory <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    there = [path.read_text() for path in work.glob("*/*/there")]
    assert there == ["999 999 TB\n"] * 2
