"""What a paper says of how masks were made."""

import math
from collections.abc import Mapping

from ...segmenters import given
from ...tiling.pixel_grid import MODEL_MPP
from ..findings import plural
from .images import sees_normalised
from .wording import each, ended, listed, names_of, said

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


def on_masks(slides: list[dict]) -> list[str]:
    """Return sentences on how one segmenter made the masks of slides."""
    if slides[0]["adopted"] is not None:
        masks = said(slides, lambda slide: listed(list(map(given, slide["adopted"]))))
        return [f"objects were taken as they are in {masks}."]
    ran = [slide for slide in slides if slide["described"]]
    if not ran:
        return ["no patch of these slides could hold cells, and no network was run."]
    found = [
        said(ran, lambda s: s["described"]["normalised"]),
        _by(ran),
        ended(each(ran, _machine)),
        ended(each(ran, _patches)),
        _labelled(ran),
        _verified(ran),
    ]
    if len(ran) < len(slides):
        left = [slide for slide in slides if not slide["described"]]
        found.append(f"no patch of {names_of(left)} could hold cells, and their masks are empty.")
    return found


def _by(slides: list[dict]) -> str:
    parts = []
    for option, objects in _OBJECTS.items():
        own = [slide for slide in slides if option in slide["described"]["networks"]]
        if own:
            text = said(own, lambda s, option=option: s["described"]["networks"][option])
            parts.append(f"for {objects} {text}")
    network = said(slides, lambda s: s["described"]["network"])
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
    if not {"patch_size", "halo"} <= cut.keys() or not sees_normalised(slide):
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
            text = said(own, lambda slide, option=option: _limits(slide, option))
            parts.append(f"for {objects} {text}")
    grown = said(slides, lambda slide: slide["described"]["labelled"])
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
    slides = [slide for slide in slides if sees_normalised(slide)]
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
