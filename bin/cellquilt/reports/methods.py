"""What a paper says of a run: how its masks were made, by what, and what to cite.

All of it is from the provenance of the samples and what DRAW reports of them, so that a sentence is
there only where the run did what it says. Where samples differ, the sentence says which did what.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import yaml

from .. import __version__
from ..compartments import MEASURED, PLURALS
from ..segmenters import described, given, title_of
from ..tiling.pixel_grid import MODEL_MPP, Grid
from .findings import plural

NAMED = 6  # samples or regions in a sentence; more are counted
_PATH = Path(__file__).with_name("references.yaml")
_REFERENCE = re.compile(r" \[@([\w,-]+)\]")
_THRESHOLDS = {
    "maxima_threshold": "maxima threshold {:g}",
    "interior_threshold": "interior threshold {:g}",
    "interior_smooth": "interior smoothing of {:g} px",
    "small_objects_threshold": "objects below {:g} px removed",
    "fill_holes_threshold": "holes below {:g} px filled",
    "radius": "radius {:g} px",
    "median": "median filter of {:g} px",
}
_OBJECTS = {"whole-cell": "whole cells", "nuclear": "nuclei"}
_SKIPPED = {
    "default": "patches with constant pixels, in and around them, were skipped",
    "signal": "patches without structure were skipped, those of a contrast below {min_contrast:g}",
    "reference": "patches that are nearly empty or dark in the nuclear channel were skipped",
    "none": "no patch was skipped",
}
_LIMITS = {
    "max_mismatch": "more than {:g} of the nucleus outside of its cell",
    "min_cell_um2": "a cell below {:g} µm²",
    "max_cell_um2": "a cell above {:g} µm²",
    "min_nucleus_um2": "a nucleus below {:g} µm²",
    "max_nucleus_um2": "a nucleus above {:g} µm²",
}
_MEASURES = {
    "mean": "mean",
    "median": "median",
    "std": "standard deviation",
    "p90": "90th percentile",
    "max": "maximum",
    "sum": "sum",
}
_FORMATS = {
    "csv": "CSV in the layout of MCMICRO [@csv]",
    "h5ad": "AnnData [@h5ad]",
    "geojson": "GeoJSON for QuPath [@geojson]",
    "spatialdata": "SpatialData [@spatialdata]",
    "ome-zarr": "OME-Zarr [@ome-zarr]",
    "hubmap": "label images in the layout of HuBMAP",
    "viewer": "pages for web browsers, on OpenSeadragon",
}
_PACKAGES = ("numpy", "scipy", "scikit-image", "tifffile", "zarr", "pandas")
_CITED_PACKAGES = ("numpy", "scipy", "scikit-image", "tifffile")


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


def facts_of(report: Mapping) -> dict:
    """Return what a paper needs of a sample, as JSON.

    Parameters
    ----------
    report : dict
        Contents of report.json, see `sample_report.describe`; ``evaluation`` where it has one.
    """
    image, summary = report["image"], report["summary"]
    provenance = report["provenance"]
    steps = {step["step"]: step for step in provenance.get("steps", [])}
    parameters = {name: step.get("parameters", {}) for name, step in steps.items()}
    asked = parameters.get("INGEST", {})
    ran = [name for name in ("SEGMENT", "DETECT", "CLASSIFY", "INFER") if name in steps]
    network = next(iter(ran), None)
    model = provenance.get("model")
    regions = report.get("regions")
    return {
        "sample": report["sample"],
        "slide": report.get("slide") or report["sample"],
        "segmenter": report["segmenter"],
        "adopted": _adopted(parameters.get("ADOPT")),
        "described": asdict(described(report["segmenter"], model)) if model else None,
        "compartments": [name for name in PLURALS if summary[f"n_{PLURALS[name]}"] is not None],
        "is_matched": report["n_by_status"] is not None,
        "expand_um": report.get("expand_um"),
        "regions": None if regions is None else [region["name"] for region in regions],
        "roi": asked.get("roi"),
        "mpp": image["mpp"],
        "is_given_mpp": image["mpp_source"] == "parameter",
        "is_resized": Grid(image["height"], image["width"], image["mpp"]).resized,
        **{key: asked.get(key) for key in ("z", "t", "scene")},
        **{
            key: image[key] for role in ("nuclear", "membrane") for key in (role, f"{role}_combine")
        },
        "n_channels": len(image["channels"]),
        "patches": parameters.get("PATCH", {}),
        "thresholds": parameters.get("LABEL", {}),
        "network": parameters.get(network, {}),
        "tensorflow": steps[network].get("software", {}).get("tensorflow") if network else None,
        "n_found": sum(summary[f"n_{objects}"] or 0 for objects in PLURALS.values()),
        "n_unverified": _sum(summary[f"n_uncertified_{objects}"] for objects in PLURALS.values()),
        "n_unproved_patches": summary["n_unproved_patches"],
        "limits": summary.get("flag_limits"),
        "measures": summary.get("measures") or ["mean"],
        "boundary_um": summary.get("boundary_um"),
        "evaluator": _evaluator(report.get("evaluation")),
        "cellquilt": sorted({step["cellquilt"] for step in steps.values() if "cellquilt" in step}),
        "software": _software(steps.values()),
        "inputs": provenance.get("inputs", []),
    }


def _adopted(asked: Mapping | None) -> list[str] | None:
    """Return the names of the masks that other software made; None where there are none."""
    if asked is None:
        return None
    return [part["name"] for name, part in asked.items() if name.endswith("_mask")]


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [n for n in counts if n is not None]
    return sum(known) if known else None


def _evaluator(evaluation: Mapping | None) -> str | None:
    if not evaluation or evaluation["quality_score"] is None or "evaluator" not in evaluation:
        return None
    return f"{evaluation['evaluator']} {evaluation.get('version', '')}".strip()


def _software(steps: Iterable[Mapping]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for step in steps:
        for name, version in step.get("software", {}).items():
            found.setdefault(name, set()).add(version)
    return {name: sorted(found[name]) for name in _PACKAGES if name in found}


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
    texts = [_sentences(_images(slides, about))]
    for name in segmenters:
        own = [slide for slide in slides if slide["segmenter"] == name]
        where = f"With {title_of(name)}, in {_names(own)}: " if len(segmenters) > 1 else ""
        texts.append(where + _sentences(_network(own)))
    texts.append(_sentences(_cells(slides)))
    texts.append(_sentences(_software_and_formats(slides, about, refusals)))
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


def _sentences(found: Sequence[str]) -> str:
    return " ".join(text[0].upper() + text[1:] for text in found if text)


def _images(slides: list[dict], about: Mapping | None) -> list[str]:
    versions = _listed(sorted({version for slide in slides for version in slide["cellquilt"]}))
    runner = f", run by Nextflow {about['nextflow']} [@nextflow]," if about else ""
    n_slides = len({slide["slide"] for slide in slides})
    are_alike = len(set(map(_task, slides))) == 1
    resized = [slide for slide in slides if slide["is_resized"] and _sees_normalised(slide)]
    which = "images" if len(resized) == len(slides) else f"the images of {_names(resized)}"
    return [
        f"with Cellquilt {versions or __version__}{runner} {_each(slides, _task)}"
        f"{f' in {n_slides} slides' if n_slides > 1 and are_alike else ''}.",
        f"the size of a pixel was {_said(slides, _pixel_size)}.",
        f"{which} were resampled to {MODEL_MPP:g} µm/px, at which the network works, and the masks"
        " to the pixels of the image."
        if resized
        else "",
        _ended(_each(slides, _plane)),
        _ended(_each(slides, _stains)),
        _regions(slides),
    ]


def _sees_normalised(slide: Mapping) -> bool:
    return bool(slide["described"] and slide["described"]["normalised"])


def _task(slide: Mapping) -> str:
    if slide["adopted"] is not None:
        grown = slide["expand_um"]
        end = f", grown by {grown:g} µm to whole cells" if grown else ""
        return f"masks that other software had made were analysed{end}"
    if slide["expand_um"]:
        return f"nuclei were segmented and grown by {slide['expand_um']:g} µm to whole cells"
    names = {"cell": "whole cells", "nucleus": "nuclei"}
    return f"{' and '.join(names[name] for name in slide['compartments'])} were segmented"


def _pixel_size(slide: Mapping) -> str:
    source = "given for the run" if slide["is_given_mpp"] else "as stated in the image file"
    return f"{slide['mpp']:.6g} µm ({source})"


def _plane(slide: Mapping) -> str:
    parts = []
    if slide["z"] in ("max", "mean"):
        kind = {"max": "maximum", "mean": "mean"}[slide["z"]]
        parts.append(f"the {kind} over all planes of the z-stack")
    elif slide["z"] is not None:
        parts.append(f"plane {slide['z']} of the z-stack (counted from 0)")
    if slide["t"] is not None:
        parts.append(f"frame {slide['t']} of the time series (counted from 0)")
    if slide["scene"] is not None:
        parts.append(f"the scene {given(slide['scene'])} of the file")
    return f"{' and '.join(parts)} {'were' if len(parts) > 1 else 'was'} used" if parts else ""


def _stains(slide: Mapping) -> str:
    nuclear = f"the nuclear image was {_channels(slide, 'nuclear')}"
    if not slide["membrane"]:
        return f"{nuclear}, without a membrane image"
    return f"{nuclear}, and the membrane image {_channels(slide, 'membrane')}"


def _channels(slide: Mapping, role: str) -> str:
    names = [given(name) for name in slide[role]]
    if len(names) == 1:
        return f"channel {names[0]}"
    kind = {"max": "maximum", "mean": "mean"}.get(slide[f"{role}_combine"], "combination")
    return (
        f"the {kind} of the channels {_listed(names)}, each divided by the 99.9th percentile of its"
        " non-zero pixels"
    )


def _regions(slides: list[dict]) -> str:
    if all(slide["regions"] is None for slide in slides):
        return ""

    def where(slide: Mapping) -> str:
        if slide["regions"] is None:
            return "the whole slide"
        names = slide["regions"]
        stated = f" ({_listed(list(map(given, names)))})" if 0 < len(names) <= NAMED else ""
        file = f", of the file {given(slide['roi'])}," if slide["roi"] else ""
        return f"{plural(len(names), 'region', 'regions')} of interest{stated}{file}".rstrip(",")

    def place(slide: Mapping) -> str:
        return "the peak that it was grown from" if slide["adopted"] is None else "its centroid"

    return (
        f"the analysis was of {_said(slides, where)}. A cell belongs to the region in which"
        f" {_said(slides, place)} lies; slides were normalised as a whole."
    )


def _network(slides: list[dict]) -> list[str]:
    if slides[0]["adopted"] is not None:
        masks = _said(slides, lambda slide: _listed(list(map(given, slide["adopted"]))))
        return [f"objects were taken as they are in {masks}."]
    ran = [slide for slide in slides if slide["described"]]
    if not ran:
        return ["no patch of these slides could hold cells, and no network was run."]
    found = [
        _said(ran, lambda s: s["described"]["normalised"]),
        _by(ran),
        _ended(_each(ran, _machine)),
        _ended(_each(ran, _patches)),
        _labelled(ran),
        _verified(ran),
    ]
    if len(ran) < len(slides):
        left = [slide for slide in slides if not slide["described"]]
        found.append(f"no patch of {_names(left)} could hold cells, and their masks are empty.")
    return found


def _by(slides: list[dict]) -> str:
    parts = []
    for option, objects in _OBJECTS.items():
        own = [slide for slide in slides if option in slide["described"]["networks"]]
        if own:
            text = _said(own, lambda s, option=option: s["described"]["networks"][option])
            parts.append(f"for {objects} {text}")
    network = _said(slides, lambda s: s["described"]["network"])
    return f"segmentation was by {network}{': ' if parts else ''}{', and '.join(parts)}."


def _machine(slide: Mapping) -> str:
    if not slide["tensorflow"]:
        return ""
    network = slide["network"]
    device = network.get("device")
    where = "" if not device else " on CPUs" if device == "cpu" else f" on {given(device)}"
    text = f"the network ran in TensorFlow {slide['tensorflow']} [@tensorflow]{where}"
    if network.get("precision", "float32") != "float32" or network.get("xla"):
        xla = " with XLA" if network.get("xla") else ""
        text += f" in {network.get('precision', 'float32')}{xla}"
        if (limit := network.get("max_map_difference")) is not None:
            text += (
                f", where in a sample of tiles of each task its maps differed by at most {limit:g}"
                " from those in float32"
            )
    return text


def _patches(slide: Mapping) -> str:
    cut = slide["patches"]
    if not {"patch_size", "halo"} <= cut.keys() or not _sees_normalised(slide):
        return ""
    text = (
        f"slides were processed in patches of {cut['patch_size']} px with {cut['halo']} px of their"
        " surroundings or more"
    )
    rule = _SKIPPED.get(cut.get("patch_qc"), "")
    return f"{text}; {rule.format(**cut)}" if rule else text


def _labelled(slides: list[dict]) -> str:
    parts = []
    for option, objects in _OBJECTS.items():
        own = [slide for slide in slides if option in slide["thresholds"]]
        if own:
            text = _said(own, lambda slide, option=option: _limits(slide, option))
            parts.append(f"for {objects} {text}")
    grown = _said(slides, lambda slide: slide["described"]["labelled"])
    if not parts or not grown:
        return ""
    return (
        f"{grown}, with these parameters in pixels of {MODEL_MPP:g} µm, which are the defaults"
        f" where no other default is named: {'; '.join(parts)}."
    )


def _limits(slide: Mapping, option: str) -> str:
    defaults = slide["described"]["thresholds"].get(option, {})
    stated = []
    for name, value in slide["thresholds"][option].items():
        if name not in _THRESHOLDS or (name == "median" and value == 1):
            continue
        usual = defaults.get(name, value)
        changed = "" if math.isclose(usual, value) else f" (default {usual:g})"
        stated.append(_THRESHOLDS[name].format(value) + changed)
    return ", ".join(stated)


def _verified(slides: list[dict]) -> str:
    slides = [slide for slide in slides if _sees_normalised(slide)]
    if not slides or any(slide["n_unverified"] is None for slide in slides):
        return ""
    of = sum(slide["n_found"] for slide in slides)
    left = sum(slide["n_unverified"] for slide in slides)
    patches = sum(slide["n_unproved_patches"] or 0 for slide in slides)
    if not of:
        return ""
    which = "every object" if not left else f"{of - left:,} of {of:,} objects"
    text = (
        f"of {which} the run verified that its pixels are those that labelling the whole slide at"
        " once gives"
    )
    if patches:
        text += f"; {plural(patches, 'patch was', 'patches were')} skipped without such proof"
    return text + "."


def _cells(slides: list[dict]) -> list[str]:
    grown = [slide for slide in slides if slide["expand_um"]]
    matched = [slide for slide in slides if slide["is_matched"]]
    found = []
    if grown:
        found.append(
            f"{_where(grown, slides)}whole cells were the nuclei grown"
            f" {_said(grown, lambda s: 'by {:g} µm'.format(s['expand_um']))}, less where they meet"
            " a neighbour, as scikit-image's expand_labels grows them [@scikit-image]."
        )
    if matched:
        found.append(
            f"{_where(matched, slides)}cells and nuclei were matched one to one by the rule of"
            " CellSegmentationEvaluator [@evaluator]: in the order of their ids each cell took the"
            " free nucleus of which the smallest share lies outside of the cell's interior, and"
            " nuclei were trimmed to that interior."
        )
    found.append(_measured(slides))
    if all(slide["limits"] is not None for slide in slides):
        found.append(_flags(slides))
    scored = [slide for slide in slides if slide["evaluator"]]
    if scored:
        found.append(
            f"{_where(scored, slides)}masks were scored without a reference by"
            f" {_said(scored, lambda s: s['evaluator'])} [@evaluator] on a part of the slide that"
            " has the median number of cells."
        )
    return found


def _measured(slides: list[dict]) -> str:
    there = {name for slide in slides for name in slide["compartments"]}
    if any(slide["is_matched"] for slide in slides):
        there |= set(MEASURED)
    channels = _said(slides, lambda slide: plural(slide["n_channels"], "channel", "channels"))
    ringed = [slide for slide in slides if slide["boundary_um"]]
    ring = f"; {_where(ringed, slides)}also of the outermost 1 µm of cells" if ringed else ""
    return (
        f"of every {_listed([name for name in MEASURED if name in there])} area and shape were"
        f" measured, and the {_said(slides, _measures)} of the raw pixel values, without"
        f" subtraction of background, in {channels}{ring}."
    )


def _measures(slide: Mapping) -> str:
    return _listed([_MEASURES[name] for name in slide["measures"]])


def _flags(slides: list[dict]) -> str:
    def limits(slide: Mapping) -> str:
        return _listed([_LIMITS[name].format(value) for name, value in slide["limits"].items()])

    text = (
        "objects were flagged, and not removed from the masks and the table, that touch the edge of"
        " the slide, lie in a patch that is out of focus or saturated, or are not verified to be"
        " those of the whole slide"
    )
    own = _said(slides, limits)
    return f"{text}; and by these limits: {own}." if own else f"{text}."


def _software_and_formats(
    slides: list[dict], about: Mapping | None, refusals: Sequence[Mapping]
) -> list[str]:
    found = ["masks were written as OME-TIFF with pyramids [@ome-tiff,pyramids]."]
    asked = [name for name in (about or {}).get("formats", []) if name in _FORMATS]
    if not all(slide["is_matched"] for slide in slides):
        asked = [name for name in asked if name != "hubmap"]  # of both compartments alone
    if asked and not any(refusal["step"] == "EXPORT" for refusal in refusals):
        written = _listed([_FORMATS[name] for name in asked])
        found.append(f"the results were also written as {written}.")
    versions: dict[str, set[str]] = {}
    for slide in slides:
        for name, own in slide["software"].items():
            versions.setdefault(name, set()).update(own)
    packages = [
        f"{name} {' / '.join(sorted(versions[name]))}"
        + (f" [@{name}]" if name in _CITED_PACKAGES else "")
        for name in _PACKAGES
        if name in versions
    ]
    if packages:
        found.append(f"Cellquilt used the Python packages {_listed(packages)}.")
    return found


def _said(slides: Sequence[dict], text: Callable[[Mapping], str]) -> str:
    """Return what is said of slides: once if it is the same of all, else of which it is what."""
    return _joined(slides, text, "{0} in {1}")


def _each(slides: Sequence[dict], text: Callable[[Mapping], str]) -> str:
    """Return clauses on slides; where they differ, each begins with its slides."""
    return _joined(slides, text, "in {1} {0}")


def _joined(slides: Sequence[dict], text: Callable[[Mapping], str], form: str) -> str:
    groups: dict[str, list[dict]] = {}
    for slide in slides:
        groups.setdefault(text(slide), []).append(slide)
    if len(groups) == 1:
        return next(iter(groups))
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    return "; ".join(form.format(said, _names(of)) for said, of in ordered if said)


def _where(some: list[dict], slides: list[dict]) -> str:
    return "" if len(some) == len(slides) else f"in {_names(some)} "


def _names(slides: Sequence[Mapping]) -> str:
    names = list(dict.fromkeys(slide["sample"] for slide in slides))
    return _listed(names) if len(names) <= NAMED else f"{len(names)} slides"


def _listed(names: Sequence[str]) -> str:
    *most, last = names or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _ended(text: str) -> str:
    return f"{text}." if text else ""
