"""What a paper says of a run: how its masks were made, by what, and what to cite.

All of it is from the provenance of the samples and what DRAW reports of them, so that a sentence is
there only where the run did what it says. Where samples differ, the sentence says which did what.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from ...segmenters import given, title_of
from .cells import on_cells, on_software
from .facts import facts_of
from .images import on_images
from .masks import on_masks
from .wording import names_of, sentences

_PATH = Path(__file__).with_name("references.yaml")
_REFERENCE = re.compile(r" \[@([\w,-]+)\]")


@dataclass(frozen=True)
class Methods:
    """What a paper says of a run.

    Attributes
    ----------
    paragraphs : list of str
    licences : list of str
        Sentences.
    inputs : list of dict
        ``sample``, ``name`` and ``sha256`` of each file, where a run has them.
    references : list of str
        In the order of the text.
    """

    paragraphs: list[str]
    licences: list[str]
    inputs: list[dict]
    references: list[str]

    def text(self) -> str:
        """Return all of it as a text file; a paragraph is a line, as word processors want it."""
        inputs = [f"{file['sha256']}  {file['sample']}: {file['name']}" for file in self.inputs]
        parts = [
            ("METHODS", "\n\n".join(self.paragraphs)),
            ("LICENCES", "\n".join(self.licences)),
            ("SHA-256 OF THE INPUT FILES", "\n".join(inputs)),
            ("REFERENCES", "\n".join(self.references)),
        ]
        return "\n\n".join(f"{title}\n\n{body}" for title, body in parts if body) + "\n"


def describe(
    samples: Sequence[Mapping], about: Mapping | None = None, refusals: Sequence[Mapping] = ()
) -> Methods:
    """Return what a paper says of a run.

    Parameters
    ----------
    samples : sequence of dict
        Contents of report.json of each, or `index.entry` of them, which has `facts_of`.
    about : dict, optional
        What is known of the run, see `step_files.read_run`.
    refusals : sequence of dict
        See `run_report.render`.
    """
    slides = [sample.get("methods") or facts_of(sample) for sample in samples]
    slides.sort(key=lambda slide: (slide["sample"], slide["segmenter"]))
    if not slides:
        return Methods(["No slide was segmented."], [], [], [])
    segmenters = list(dict.fromkeys(slide["segmenter"] for slide in slides))
    texts = [sentences(on_images(slides, about))]
    for name in segmenters:
        own = [slide for slide in slides if slide["segmenter"] == name]
        where = f"With {title_of(name)}, in {names_of(own)}: " if len(segmenters) > 1 else ""
        texts.append(where + sentences(on_masks(own)))
    texts.append(sentences(on_cells(slides)))
    texts.append(sentences(on_software(slides, about, refusals)))
    of_networks = [slide["described"]["licences"] for slide in slides if slide["described"]]
    licences = list(dict.fromkeys(licence for each in of_networks for licence in each))
    licences.append("Cellquilt is under the MIT licence.")
    cited: dict[str, None] = {}
    paragraphs, licences = (
        [_with_references(text, cited) for text in part if text] for part in (texts, licences)
    )
    inputs = {
        (slide["sample"], file["name"]): {
            "sample": slide["sample"],
            "name": given(file["name"]),
            "sha256": file["sha256"],
        }
        for slide in slides
        for file in slide["inputs"]
    }
    references = [_references()[key]["text"] for key in cited]
    return Methods(paragraphs, licences, list(inputs.values()), references)


@cache
def _references() -> dict[str, dict[str, str]]:
    return yaml.safe_load(_PATH.read_text(encoding="utf-8"))


def _with_references(text: str, cited: dict[str, None]) -> str:
    """Put names and years for the keys of references, and note these in order."""

    def named(found: re.Match) -> str:
        keys = found[1].split(",")
        cited.update(dict.fromkeys(keys))
        return f" ({'; '.join(_references()[key]['cited'] for key in keys)})"

    return _REFERENCE.sub(named, text)
