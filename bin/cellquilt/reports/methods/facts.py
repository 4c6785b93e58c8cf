"""What a paper needs of a sample, from its provenance and report."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from ...compartments import PLURALS
from ...segmenters import described
from ...tiling.pixel_grid import Grid

PACKAGES = ("numpy", "scipy", "scikit-image", "tifffile", "zarr", "pandas")


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
    return {name: sorted(found[name]) for name in PACKAGES if name in found}
