"""The report's checks on runs made right and wrong: how often they are wrong themselves.

Of half of the images the limits were set, the other half was kept out; docs/quality.md has the
rates. Figures and findings of every run go to quality.csv.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import ROOT, SHARED, Bench, Row

TABLE = ROOT / "benchmarks" / "quality.csv"
TILE = SHARED / "codex_tile" / "codex_tile.ome.tif"
CODEX_MPP = 0.37745
TISSUE_MPP = 0.5
SIDE = 640
# By half: seeds of generated tissues
SEEDS = {"set": (1, 2, 3, 4, 5), "kept out": (11, 12, 13, 14, 15)}
N_DSB = 12  # images a half
# What the run is told, or what is done to its image; and the cause that is to be named for it
WRONG = {
    "swapped": "swapped_channels",
    "pixel size x 2": "pixel_size_too_large",
    "pixel size x 0.5": "pixel_size_too_small",
    "no nuclear stain": "not_nuclear",
    "blurred": "out_of_focus",
    "saturated": "saturated",
    "labels": "mask",
    "glass": "no_tissue",
    "pixelcnn": "unknown_tissue",
}
BLUR_UM = 1.5
CLIPPED = 0.9  # quantile at which a saturated channel is cut off


@dataclass(frozen=True)
class Case:
    """A run: how its image is made, and what INGEST is given."""

    source: str
    half: str
    kind: str = "right"
    image_mpp: float = TISSUE_MPP
    nuclear: str = "nuclear"
    membrane: str = "membrane"
    segmenter: str = "mesmer"
    made: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of its sample."""
        text = f"{self.source} {self.half} {self.kind}"
        return "".join(c if c.isalnum() else "-" for c in text)


def rows(bench: Bench) -> list[Row]:
    import fixtures

    options = {"folder": bench.scratch, "model": fixtures.model(bench)}
    found = bench.call("runtime", "run_all", **options)
    note = "; ".join(f"{half}: {text}" for half, text in found["rates"].items())
    bars = found["bars"]
    return [
        Row("right and wrong runs", "", found["seconds"], None, not bars, note),
        Row(
            "wrong and right runs of the CODEX tile, the demo and generated tissues",
            "",
            None,
            None,
            not bars,
            "; ".join(bars) or "all met",
        ),
    ]


def cases() -> list[Case]:
    """Worker: return all runs, those of one source after the other."""
    found = []
    for half, part in (("set", "left"), ("kept out", "right")):
        found += _of_source(Case("codex", half, image_mpp=CODEX_MPP, made={"part": part}), "CH_20")
    found += _of_source(
        Case("codex whole", "kept out", image_mpp=CODEX_MPP, made={"part": "whole"}), "cytoplasm"
    )
    found.append(Case("codex half scale", "kept out", image_mpp=0.7549, made={"binned": 2}))
    made = {"part": "whole"}
    found.append(Case("codex at 0.5", "kept out", image_mpp=0.5, made=made))
    membranes = ("PanCK", "CD45", "Vimentin", "CD45", "PanCK")
    for half, seeds in SEEDS.items():
        for k, (seed, marker) in enumerate(zip(seeds, membranes, strict=True)):
            made = {"seed": seed, "marker": marker, "zoom": (1, 0.85, 1.2, 1, 1)[k]}
            made |= {"photons": (1, 1, 0.5, 0.1, 1)[k], "sparse": k == 4}
            case = Case(f"tissue {k + 1}", half, made=made)
            found += _of_source(case, "Autofluorescence") if k < 3 else [case]
            # Trained on such tissue: its nuclei have an F1 of 0.91 to 0.97, of the sparse one 0.81
            known = replace(case, source=f"{case.source} pixelcnn", segmenter="pixelcnn")
            found.append(_spoilt(case, "pixelcnn", "") if made["sparse"] else known)
        for kind, mpp in (("IMC", 1.0), ("MIBI", 0.5)):
            for seed in seeds[:2]:
                made = {"seed": seed, "marker": "CD45", "counts": kind}
                case = Case(f"{kind} {seed}", half, image_mpp=mpp, made=made)
                known = replace(case, source=f"{case.source} pixelcnn", segmenter="pixelcnn")
                found += [case, known if kind == "IMC" else _spoilt(case, "pixelcnn", "")]
        for k in range(N_DSB):
            name, mpp = list(_dsb().items())[2 * k + (half == "set")]
            case = Case(f"dsb {name}", half, image_mpp=mpp, membrane="", made={"dsb": name})
            found.append(case)
            spoilt = ("pixel size x 2", "pixel size x 0.5", "blurred", "saturated")
            found.append(_spoilt(case, spoilt[k % len(spoilt)], ""))
    found.append(Case("demo", "kept out", made={"seed": 7, "marker": "demo"}))
    return found


def _of_source(case: Case, other: str) -> list[Case]:
    kinds = [kind for kind in WRONG if kind != "pixelcnn" or "seed" not in case.made]
    return [case, *(_spoilt(case, kind, other) for kind in kinds)]


def _spoilt(case: Case, kind: str, other: str) -> Case:
    """Return the run made wrong; `other` is a marker of its slide that is no nuclear stain."""
    changes: dict = {"kind": kind}
    if kind == "swapped":
        changes |= {"nuclear": case.membrane, "membrane": case.nuclear}
    elif kind == "pixelcnn":
        changes |= {"segmenter": kind}
    elif kind.startswith("pixel size"):
        changes["image_mpp"] = case.image_mpp * float(kind.split()[-1])
    else:
        changes["made"] = case.made | {"spoilt": kind, "other": other}
    return replace(case, **changes)


def image_of(case: Case):
    """Worker: (1 or 2, H, W) pixels of a run's slide; pixel size as it truly is, or unknown."""
    import numpy as np
    import tifffile
    from scipy import ndimage

    made, rng = case.made, np.random.default_rng(0)
    spoilt, mpp = made.get("spoilt"), CODEX_MPP if "codex" in case.source else TISSUE_MPP
    labels = None
    if "seed" in made:
        planes, labels = _tissue(made, spoilt == "no nuclear stain")
    elif "dsb" in made:
        image = tifffile.imread(SHARED / "dsb2018" / f"{made['dsb']}.image.tif")
        planes = (image if image.ndim == 2 else image.mean(axis=-1))[None]
        labels, mpp = None, _dsb()[made["dsb"]]
    else:
        tile = tifffile.imread(TILE)
        if spoilt == "no nuclear stain":
            names = ["nucleus", "cytoplasm", "membrane", "CH_7", "CH_11", "CH_19", "CH_20", "CH_24"]
            planes = tile[[names.index(made["other"]), 2]]
        else:
            planes = tile[[0, 2]]
        labels = tifffile.imread(TILE.with_name("mask_expert1.tif"))
        middle = tile.shape[2] // 2
        cut = {"left": np.s_[..., :middle], "right": np.s_[..., middle:]}
        cut = cut.get(made.get("part"), np.s_[...])
        planes, labels = planes[cut], labels[cut]
        if "binned" in made:
            height, width = (n // 2 * 2 for n in planes.shape[1:])
            planes = planes[:, :height, :width].reshape(2, height // 2, 2, width // 2, 2)
            planes = planes.mean(axis=(2, 4)).astype(np.uint16)
    if spoilt == "blurred":
        sigma = BLUR_UM / mpp
        planes = np.stack([ndimage.gaussian_filter(plane.astype(float), sigma) for plane in planes])
    elif spoilt == "saturated":
        limits = [np.quantile(plane, CLIPPED) for plane in planes]
        planes = np.stack([np.minimum(p, limit) for p, limit in zip(planes, limits, strict=True)])
    elif spoilt == "labels":
        planes = np.stack([labels, *planes[1:]])
    elif spoilt == "glass":
        offset = [np.quantile(plane, 0.01) for plane in planes]
        planes = np.stack([rng.normal(low, 3, planes.shape[1:]) for low in offset])
    return np.rint(planes.astype(float)).clip(0, 65535).astype(np.uint16)


def _tissue(made: dict, without_stain: bool):
    """Return nuclear and membrane plane of a generated tissue, and its nuclei."""
    from unittest.mock import patch

    import numpy as np
    from scipy import ndimage

    from cellquilt.synthetic import anatomy
    from cellquilt.synthetic.microscope import CAMERA_OFFSET, COUNTS_PER_PHOTON
    from cellquilt.synthetic.tissue import generate_tissue

    mix = anatomy.MIX
    if made.get("sparse"):  # two of three seeds are of bare matrix
        mix = np.column_stack([2 + mix[:, :1], mix[:, 1:]]) / 3
    size = (1024, 1312) if made["marker"] == "demo" else (SIDE, SIDE)
    with patch.object(anatomy, "MIX", mix):
        slide = generate_tissue(*size, made["seed"], 416 if made["marker"] == "demo" else 0)
    names = slide.channels
    marker = "PanCK" if made["marker"] == "demo" else made["marker"]
    first = names.index(made["other"]) if without_stain else 0
    planes, nuclei = slide.image[[first, names.index(marker)]].astype(float), slide.nucleus_truth
    rng = np.random.default_rng(made["seed"])
    light = np.maximum(planes - CAMERA_OFFSET, 0) / COUNTS_PER_PHOTON
    if made.get("photons", 1) != 1:
        light = rng.poisson(light * made["photons"])
        planes = CAMERA_OFFSET + COUNTS_PER_PHOTON * light + rng.normal(0, 3, light.shape)
    if made.get("counts") == "IMC":
        height, width = (n // 2 for n in light.shape[1:])
        light = light[:, : 2 * height, : 2 * width].reshape(2, height, 2, width, 2)
        planes = rng.poisson(light.mean(axis=(2, 4)) / 6)
    elif made.get("counts") == "MIBI":
        planes = rng.poisson(light / 40)
    if made.get("zoom", 1) != 1:
        planes = np.stack([ndimage.zoom(plane, made["zoom"], order=1) for plane in planes])
        nuclei = ndimage.zoom(nuclei, made["zoom"], order=0)
    return planes, nuclei


def _dsb() -> dict[str, float]:
    """Return the pixel size of images of dsb2018 that gives their median nucleus 45 um2.

    Their own is not known.
    """
    with (SHARED / "dsb2018" / "index.csv").open(newline="") as file:
        listed = [row for row in csv.DictReader(file) if int(row["n_nuclei"]) >= 40]
    chosen = listed[:: len(listed) // (2 * N_DSB)][: 2 * N_DSB]
    return {row["name"]: (45 / float(row["median_area_px"])) ** 0.5 for row in chosen}


def run_all(folder: str, model: str) -> dict:
    """Worker: run all cases, write quality.csv, and return the rates by half."""
    import time

    start = time.perf_counter()
    found = run_cases(cases(), Path(folder), Path(model))
    write(found)
    return {
        "seconds": time.perf_counter() - start,
        "rates": {half: rates([f for f in found if f["half"] == half]) for half in SEEDS},
        "bars": bars(found),
    }


def run_cases(chosen: list[Case], folder: Path, model: Path) -> list[dict]:
    """Worker: run cases from INGEST to DRAW; return of each its figures and findings."""
    import json
    import logging
    import shutil
    from functools import cache

    from cellquilt import segmenters
    from cellquilt.bundles.chain import Settings, chain
    from cellquilt.bundles.slide import Slide
    from cellquilt.reports.findings import MATCHED, findings
    from cellquilt.synthetic.microscope import write_image

    logging.getLogger("cellquilt").setLevel(logging.ERROR)
    own = sorted((ROOT / "assets" / "networks").glob("*.keras"))
    networks = {"mesmer": [model], "pixelcnn": own}

    @cache
    def load(segmenter: str):
        return segmenters.load(segmenter, segmenters.Settings(networks[segmenter], "cpu", 2))

    found = []
    for case in chosen:
        image, outdir = folder / f"{case.name}.ome.tif", folder / "out"
        pixels = image_of(case)
        write_image(image, pixels, ("nuclear", "membrane")[: len(pixels)], case.image_mpp)
        compartment = "both" if case.membrane else "nuclear"
        asked = case.nuclear, case.membrane, None, compartment, None, case.segmenter
        slide = Slide(case.name, [image], *asked)
        refused = []
        outdir.mkdir()
        chain(
            [slide], Settings(), load, outdir,
            lambda *said, to=refused: to.append(said),
        )  # fmt: skip
        line = {"source": case.source, "half": case.half, "kind": case.kind, "figures": {}}
        if refused:
            line["findings"] = [{"urgent": True, "code": "refused", "causes": [str(refused[0][2])]}]
        else:
            path = outdir / "_reports" / case.name / "report.json"
            report = json.loads(path.read_text())
            summary = report["summary"]
            counted = ("n_cells", "n_nuclei", *MATCHED)
            line["figures"] = report["checks"]["figures"] | {k: summary[k] for k in counted}
            line["findings"] = [
                {"urgent": f.urgent, "code": f.code, "causes": [c.code for c in f.causes]}
                for f in findings(report)
            ]
        found.append(line)
        image.unlink()
        shutil.rmtree(outdir)
    return found


def named(line: dict) -> bool:
    """Return whether an urgent finding names the true cause of a run made wrong."""
    cause = WRONG[line["kind"]]
    return any(f["urgent"] and cause in f["causes"] for f in line["findings"])


def urgent(line: dict) -> list[str]:
    """Return the codes of a run's urgent findings."""
    return sorted({f["code"] for f in line["findings"] if f["urgent"]})


def rates(lines: list[dict]) -> str:
    """Return false alarms and misses of the runs of a half."""
    right = [line for line in lines if line["kind"] == "right"]
    alarms = [line for line in right if urgent(line)]
    text = f"{len(alarms)} of {len(right)} right runs have an urgent finding"
    for kind in WRONG:
        wrong = [line for line in lines if line["kind"] == kind]
        quiet, other = (sum(not test(line) for line in wrong) for test in (urgent, named))
        text += f"; {kind}: {quiet} of {len(wrong)} without one, {other} without the cause"
    return text


def bars(lines: list[dict]) -> list[str]:
    """Return what must hold of the images that were kept out, and does not."""
    asked = ("codex whole", "tissue 1", "tissue 2")
    not_asked = ("dsb", "pixelcnn")
    kept_out = [line for line in lines if line["half"] == "kept out"]
    failed = [
        f"{line['source']}, {line['kind']}: cause not named"
        for line in kept_out
        if line["kind"] != "right" and line["source"] in asked and not named(line)
    ]
    return failed + [
        f"{line['source']}, right: urgent {', '.join(urgent(line))}"
        for line in kept_out
        if line["kind"] == "right" and urgent(line)
        if not any(name in line["source"] for name in not_asked)
    ]


def write(lines: list[dict]) -> None:
    """Write quality.csv, a row a run."""
    names = sorted({name for line in lines for name in line["figures"]})
    with TABLE.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["source", "half", "run", "urgent", "notes", "causes", *names])
        for line in lines:
            notes = sorted({f["code"] for f in line["findings"] if not f["urgent"]})
            causes = [f"{f['code']}: {' or '.join(f['causes'])}" for f in line["findings"]]
            figures = [line["figures"].get(name) for name in names]
            shown = ["" if value is None else f"{value:.4g}" for value in figures]
            said = (" ".join(urgent(line)), " ".join(notes), "; ".join(causes))
            table.writerow([line["source"], line["half"], line["kind"], *said, *shown])
