"""What a paper says of images: channels, pixel size, planes, regions."""

from collections.abc import Mapping

from ... import __version__
from ...segmenters import given
from ...tiling.pixel_grid import MODEL_MPP
from ..findings import plural
from .wording import NAMED, each, ended, listed, names_of, said


def on_images(slides: list[dict], about: Mapping | None) -> list[str]:
    """Return sentences on the images: what was segmented in which pixels and channels."""
    versions = listed(sorted({version for slide in slides for version in slide["cellquilt"]}))
    runner = f", run by Nextflow {about['nextflow']} [@nextflow]," if about else ""
    n_slides = len({slide["slide"] for slide in slides})
    are_alike = len(set(map(_task, slides))) == 1
    resized = [slide for slide in slides if slide["is_resized"] and sees_normalised(slide)]
    which = "images" if len(resized) == len(slides) else f"the images of {names_of(resized)}"
    return [
        f"with Cellquilt {versions or __version__}{runner} {each(slides, _task)}"
        f"{f' in {n_slides} slides' if n_slides > 1 and are_alike else ''}.",
        f"the size of a pixel was {said(slides, _pixel_size)}.",
        f"{which} were resampled to {MODEL_MPP:g} µm/px, at which the network works, and the masks"
        " to the pixels of the image."
        if resized
        else "",
        ended(each(slides, _plane)),
        ended(each(slides, _stains)),
        _regions(slides),
    ]


def sees_normalised(slide: Mapping) -> bool:
    """Return whether the network saw the slide normalised, as Mesmer does."""
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
        f"the {kind} of the channels {listed(names)}, each divided by the 99.9th percentile of its"
        " non-zero pixels"
    )


def _regions(slides: list[dict]) -> str:
    if all(slide["regions"] is None for slide in slides):
        return ""

    def where(slide: Mapping) -> str:
        if slide["regions"] is None:
            return "the whole slide"
        names = slide["regions"]
        stated = f" ({listed(list(map(given, names)))})" if 0 < len(names) <= NAMED else ""
        file = f", of the file {given(slide['roi'])}," if slide["roi"] else ""
        return f"{plural(len(names), 'region', 'regions')} of interest{stated}{file}".rstrip(",")

    def place(slide: Mapping) -> str:
        return "the peak that it was grown from" if slide["adopted"] is None else "its centroid"

    return (
        f"the analysis was of {said(slides, where)}. A cell belongs to the region in which"
        f" {said(slides, place)} lies; slides were normalised as a whole."
    )
