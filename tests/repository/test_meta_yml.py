"""meta.yml of modules and subworkflows against their main.nf."""

import re
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
MODULES = sorted(path.parent for path in REPO.glob("modules/*/main.nf"))
SUBWORKFLOWS = sorted(path.parent for path in REPO.glob("subworkflows/*/main.nf"))
ELEMENT = re.compile(r"\b(?:val|path|eval)[ (](?:(['\"])(.+?)\1|(\w+))")


def elements(line: str) -> list[str]:
    """Return the names, or else the texts in quotes, of what a line of a process declares."""
    return [text or name for _, text, name in ELEMENT.findall(line)]


def declared(folder: Path, section: str) -> list[str]:
    """Return the lines of a section of a process or workflow, without comments; [] without it."""
    text = (folder / "main.nf").read_text()
    block = re.search(rf"^    {section}:\n(.+?)(?=^    [a-z]+:$|^\}})", text, re.M | re.S)
    lines = [line.partition(" //")[0].strip() for line in block[1].splitlines()] if block else []
    return [line for line in lines if line]


def described(folder: Path) -> dict:
    return yaml.safe_load((folder / "meta.yml").read_text())


def keys(channels: list) -> list[list[str]]:
    """Return the names of each channel's elements; a channel of one is not in a list."""
    found = [entry if isinstance(entry, list) else [entry] for entry in channels]
    return [[key for element in channel for key in element] for channel in found]


def leaves(node) -> list[dict]:
    """Return what is said of each element, however deep it is in lists and under names."""
    if isinstance(node, list):
        return [leaf for part in node for leaf in leaves(part)]
    return [node] if "type" in node else leaves(list(node.values()))


@pytest.mark.parametrize("folder", MODULES, ids=lambda folder: folder.name)
class TestModules:
    def test_inputs_are_the_processes(self, folder):
        lines = [elements(line) for line in declared(folder, "input")]
        assert keys(described(folder)["input"]) == lines

    def test_outputs_are_the_processes(self, folder):
        found = described(folder)["output"]
        lines = [line for line in declared(folder, "output") if "emit:" in line]
        assert list(found) == [re.search(r"emit: (\w+)", line)[1] for line in lines]
        for line, channels in zip(lines, found.values(), strict=True):
            assert keys(channels) == [elements(line)]

    def test_topics_are_the_processes(self, folder):
        lines = [line for line in declared(folder, "output") if "topic:" in line]
        found = described(folder).get("topics", {})
        names = [name for name, channels in found.items() for _ in channels]
        assert names == [re.search(r"topic: (\w+)", line)[1] for line in lines]

    def test_inputs_are_staged_apart_from_results(self, folder):
        """In folders that no sample is called, since a sample may be called like any file."""
        if 'path("${meta.id}/' not in " ".join(declared(folder, "output")):
            return
        for line in declared(folder, "input"):
            for declaration in re.findall(r"path\(.*?\)|path \w.*", line):
                assert re.search(r"stageAs: '_\w+/(\?/)?\*'", declaration), declaration

    def test_all_is_told(self, folder):
        found = described(folder)
        assert found["name"] == folder.name
        assert found["description"] and len(found["keywords"]) >= 3 and found["tools"]
        for element in leaves([found["input"], found["output"]]):
            assert element["type"] in ("map", "list", "file", "directory", "string", "eval")
            assert element["description"].strip()
            if element["type"] == "file":
                assert element["pattern"] and "ontologies" in element

    def test_keys_of_meta_are_told(self, folder):
        """A description may refer to the one of INGEST, which has all that are common."""
        text = (folder / "main.nf").read_text()
        read = set(re.findall(r"\bmeta\.(\w+)\b(?!\()", text))
        for several in re.findall(r"\bmeta\.subMap\(\[(.*?)\]\)", text):
            read |= set(re.findall(r"\w+", several))
        told = "".join(
            element["description"]
            for channel in described(folder)["input"]
            for part in (channel if isinstance(channel, list) else [channel])
            for name, element in part.items()
            if name in ("meta", "metas")
        )
        assert read <= set(re.findall(r"\w+", told))

    def test_arguments_are_in_the_notes(self, folder):
        """What conf/modules.config gives a module another pipeline must know of too."""
        text = (REPO / "conf" / "modules.config").read_text()
        blocks = re.findall(r"withName: '([A-Z|]+)' \{\n(.*?)^    \}", text, re.M | re.S)
        given = "".join(block for names, block in blocks if folder.name.upper() in names.split("|"))
        # those of a step are a setting, which CHAIN reads too
        shared = dict(re.findall(r"^    ext\.(\w+_args) += \{(.*?)\}$", text, re.M | re.S))
        given += "".join(shared[name] for name in re.findall(r"task\.ext\.(\w+_args)", given))
        notes = described(folder).get("notes", "")
        missing = [option for option in re.findall(r"--[a-z_]+", given) if option not in notes]
        assert missing == []


@pytest.mark.parametrize("folder", SUBWORKFLOWS, ids=lambda folder: folder.name)
class TestSubworkflows:
    def test_inputs_and_outputs_are_the_workflows(self, folder):
        found = described(folder)
        assert keys(found["input"]) == [[line] for line in declared(folder, "take")]
        emitted = [line.partition(" = ")[0] for line in declared(folder, "emit")]
        assert keys(found["output"]) == [[name] for name in emitted]

    def test_components_are_what_is_included(self, folder):
        found = described(folder)
        text = (folder / "main.nf").read_text()
        included = re.findall(r"^include .* from '.*/(\w+)/main'$", text, re.M)
        assert found["components"] == list(dict.fromkeys(included))
        assert found["name"] == folder.name and len(found["keywords"]) >= 3
        for channel in [*found["input"], *found["output"]]:
            ((name, told),) = channel.items()
            assert told["description"], name
            parts = leaves(told["structure"])
            assert all(part["description"] for part in parts), name
            of_files = [part for part in parts if part["type"] not in ("map", "list")]
            assert all("pattern" in part for part in of_files), name

    def test_nothing_but_its_inputs_is_read(self, folder):
        """Another pipeline has other parameters, and lies elsewhere."""
        text = (folder / "main.nf").read_text()
        assert not re.search(r"\b(params|options|projectDir|baseDir|launchDir)\b", text)
