#!/usr/bin/env python3
"""Write docs/parameters.md from nextflow_schema.json; run it after a change of the schema."""

import json
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PAGE = REPO / "docs" / "parameters.md"
INTRODUCTION = """\
# Parameters

All of them, by group. `nextflow run . --help` prints the common ones, `--help full` all of them,
and `--help patch_size` all about one. They can also be given in a file, with `-params-file`. An
unknown parameter, or one with a value that is not allowed, is an error. `--model_cache` and
`--environments` default to folders in `~/.cache/cellquilt`, or in the folder set in
`CELLQUILT_CACHE`. What they are for is in the pages that the [README](../README.md#your-own-slides)
lists.
"""
HEADER = "| parameter | default | allowed | meaning |\n|---|---|---|---|\n"


def page() -> str:
    """Return the page."""
    groups = json.loads((REPO / "nextflow_schema.json").read_text())["$defs"].values()
    return "\n".join([INTRODUCTION, *map(_section, groups)])


def _section(group: dict) -> str:
    rows = [_row(name, known) for name, known in group["properties"].items()]
    return f"## {group['title']}\n\n{group['description']}\n\n{HEADER}{''.join(rows)}"


def _row(name: str, known: dict) -> str:
    default = known.get("default", "")
    default = default if isinstance(default, str) else json.dumps(default)
    meaning = ". ".join(filter(None, (known["description"], known.get("help_text"))))
    cells = (f"`--{name}`", f"`{default}`" if default else "", _allowed(known), meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _allowed(known: dict) -> str:
    """Return the values that a parameter may have; nothing where any text will do."""
    if "enum" in known:
        return ", ".join(f"`{value}`" for value in known["enum"])
    low, high = known.get("minimum"), known.get("maximum")
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is not None or high is not None:
        return f"at least {low}" if high is None else f"at most {high}"
    if known["type"] == "boolean":
        return "`true`, `false`"
    values = {"file-path": "file", "directory-path": "folder", "path": "file or folder"}
    return values.get(known.get("format", ""), "")


if __name__ == "__main__":
    PAGE.write_text(page())
