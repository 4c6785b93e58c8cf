#!/usr/bin/env python3
"""Write what a step would, small but valid, without its inputs: the stub of every module.

MODEL's runs in the deepcell environment, so what that lacks is imported where it is used.
"""

import argparse
import functools
import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cellquilt import cli, provenance

if TYPE_CHECKING:
    import pandas as pd

SIDE = 64
IMAGE_MPP = 0.5
WRITTEN: dict[str, Path] = {}  # by name, what is the same of every slide


def disks(radius: int):
    """Return two disks, labelled 1 and 2, on a (64, 64) uint32 background."""
    import numpy as np

    y, x = np.ogrid[:SIDE, :SIDE]
    labels = np.zeros((SIDE, SIDE), np.uint32)
    for label, centre in enumerate((16, 44), start=1):
        labels[(y - centre) ** 2 + (x - centre) ** 2 < radius**2] = label
    return labels


def write_same(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file, or copy that of an earlier slide: a bundle of 32 has hundreds."""
    first = WRITTEN.setdefault(path.name, path)
    if first == path:
        write(path)
    else:
        shutil.copyfile(first, path)


def write_masks(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_same(folder / f"{name}.ome.tif", write_mask)


def write_mask(path: Path) -> None:
    from cellquilt.images.label_image import write_label_image

    name = path.name.removesuffix(".ome.tif")
    write_label_image(path, disks(5 if name.startswith("nucleus") else 10), IMAGE_MPP, name)


def write_picture(path: Path) -> None:
    from PIL import Image

    Image.fromarray((100 * disks(10)).astype("uint8")).save(path)


def masks_folder(o) -> Path:
    from cellquilt.images import label_image

    return label_image.masks_folder(o.outdir, o.sample, o.segmenter)


def write_store(path: Path, name: str, shape: tuple[int, ...], dtype: str) -> None:
    from cellquilt.handoff import stores

    path.parent.mkdir(parents=True, exist_ok=True)
    with stores.create(path, {"stub": True}) as group:
        stores.new_array(group, name, shape, dtype, shape)[:] = 1


def write_json(path: Path, **content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, "stub": True}, indent=2) + "\n")


def generate(o) -> None:
    write_masks(o.outdir, ["tissue", "cell_truth", "nucleus_truth"])


def model(o) -> None:
    with zipfile.ZipFile(o.model, "w") as archive:
        archive.writestr("model.json", json.dumps({"name": "Mesmer", "stub": True}))


def network(o) -> None:
    with zipfile.ZipFile(o.packed, "w") as archive:
        archive.writestr("card.json", json.dumps({"name": "stub", "stub": True}))


def ingest(o) -> None:
    write_store(o.outdir / "normalised.zip", "codes", (2, SIDE, SIDE), "uint16")
    write_json(o.outdir / "sample.json", **facts_of(o))


def facts_of(o) -> dict:
    image = {"name": "stub", "height": SIDE, "width": SIDE, "channels": ["stub"], "z": 0, "t": 0}
    steps = [provenance.of_step("INGEST")]
    return {"sample": o.sample, "image": image, "image_mpp": IMAGE_MPP, "provenance": steps}


def patch(o) -> None:
    o.table.write_text(
        f"patch_id,y0,x0,height,width,is_informative,reason\n0,0,0,{SIDE},{SIDE},True,\n"
    )
    write_store(Path("task-00000.pixels.zip"), "codes", (2, SIDE, SIDE), "uint16")


def segment(o) -> None:
    write_store(o.maps, "maps", (4, SIDE, SIDE), "float32")


def label(o) -> None:
    write_store(o.labels, "0/cell/labels", (SIDE, SIDE), "uint32")


def stitch(o) -> None:
    names = {
        "both": ["cell_original", "nucleus_original"],
        "whole-cell": ["cell", "cell_boundary"],
        "nuclear": ["nucleus", "nucleus_boundary"],
    }
    write_masks(masks_folder(o), names[o.compartment])
    (o.outdir / "patches_metadata.csv").write_text(
        f"patch_id,y0,x0,height,width,n_cells\n0,0,0,{SIDE},{SIDE},2\n"
    )
    step = "ADOPT" if o.segmenter == "masks" else "STITCH"
    if step == "STITCH":
        (o.outdir / "uncertified.csv").write_text("compartment,label,y_px,x_px,patch_id\n")
    counts = {"segmenter": o.segmenter, "n_cells": 2, "n_nuclei": 2}
    write_json(o.outdir / "stitch.json", sample=o.sample, **counts)
    provenance.write(o.outdir / "provenance.json", [provenance.of_step(step)], sample=o.sample)


adopt = stitch  # but for the proof


def repair(o) -> None:
    names = ["cell", "nucleus", "cytoplasm", "cell_boundary", "nucleus_boundary"]
    write_masks(masks_folder(o), names)
    _, matches = matched()
    matches.to_csv(o.outdir / "matches.csv", index=False)
    counts = {"n_cells": 2, "n_nuclei": 2, "n_matched": 2, "matched_fraction": 1.0}
    write_json(o.outdir / "repair_metrics.json", sample=o.sample, **counts)


@functools.cache
def matched() -> tuple[dict, "pd.DataFrame"]:
    """Return cells and nuclei of the stub masks by name, and REPAIR's table of them."""
    import numpy as np

    from cellquilt.cells.matching import count, match, match_table
    from cellquilt.images.strips import Scratch

    masks = {}
    for name, radius in {"cell": 10, "nucleus": 5}.items():
        masks[name] = masks[f"{name}_original"] = Scratch(Path(), (SIDE, SIDE), np.uint32)
        masks[name][:] = disks(radius)
    matching = match(count(masks["cell"], masks["nucleus"]))
    certificates = {"cell_certified": True, "nucleus_certified": True}
    return masks, match_table(matching, IMAGE_MPP).assign(**certificates)


def quantify(o) -> None:
    """Measure the disks of the stub masks on an image of ones."""
    from cellquilt.cells import objects
    from cellquilt.cells.quantify import quantify

    masks, matches = matched()
    if o.compartment == "both":
        found = objects.matched_objects(matches, masks)
    else:
        compartment = "cell" if o.compartment == "whole-cell" else "nucleus"
        found = objects.single_objects(compartment, masks[compartment], None)
    image = {"name": "stub", "height": SIDE, "width": SIDE}
    facts = {"sample": o.sample, "image": image, "image_mpp": IMAGE_MPP}
    table = o.outdir / "quantification" / f"{o.sample}.parquet"
    table.parent.mkdir(parents=True, exist_ok=True)
    quantify(ones(), found, facts, o.segmenter, [], table)


def ones():
    """Return a slide of one channel, as steps read it."""
    from types import SimpleNamespace

    import numpy as np

    return SimpleNamespace(
        **{"height": SIDE, "width": SIDE, "channels": [SimpleNamespace(index=0, name="stub")]},
        dtype=np.dtype(np.uint16),
        read=lambda _channel, y0, y1: np.ones((y1 - y0, SIDE), np.uint16),
        release=lambda _channel: None,
    )


def chain(o) -> None:
    """Write what all steps would for each slide that standard input names."""
    for slide in json.load(sys.stdin):
        own = argparse.Namespace(**(vars(o) | slide | {"outdir": Path(slide["sample"])}))
        name = slide.get("slide") or slide["sample"]
        write_json(Path(name) / "sample.json", **facts_of(own) | {"sample": name})
        for step in (stitch, repair, quantify, draw):
            if step is not repair or own.compartment == "both":
                step(own)
        report = Path("_reports") / own.sample
        report.mkdir(parents=True)
        (own.outdir / "report.json").rename(report / "report.json")
        if slide.get("slide"):
            contrast(argparse.Namespace(outdir=Path(name)))
    o.left.write_text("")


def export(o) -> None:
    formats = set(o.formats.split(","))
    for sample in o.samples:
        if formats <= {"csv", "h5ad", "geojson"}:
            export_sample(sample, o.segmenter, Path(sample), formats)
        else:
            export_disks(sample, o.segmenter, Path(sample), formats)


def export_disks(sample: str, segmenter: str, folder: Path, formats: set[str]) -> None:
    """Write formats as EXPORT does, of the disks of the stub masks."""
    from cellquilt import exports
    from cellquilt.cells import cell_table
    from cellquilt.exports.picture import Picture
    from cellquilt.images.label_image import masks_of

    own = {"sample": sample, "segmenter": segmenter, "compartment": "both"}
    of = argparse.Namespace(**own, outdir=Path("_stub") / sample)
    quantify(of)
    write_masks(masks_folder(of), ["cell", "nucleus"])
    masks = masks_of(list(masks_folder(of).iterdir()), sample, segmenter)
    table = of.outdir / "quantification" / f"{sample}.parquet"
    known = [name for name in exports.FORMATS if name in formats]
    with cell_table.open_cells(table, masks) as cells:
        exports.export(cells, known, folder, 1, Picture(ones(), (0,), ("stub",)), False)


def export_sample(sample: str, segmenter: str, folder: Path, formats: set[str]) -> None:
    """Write the default formats, or some of these, of two square cells; as fast as a bundle needs.

    Those of `export_disks` take a second to import.
    """
    import gzip

    folders = {"csv": ("quantification", "qc"), "h5ad": ("anndata",), "geojson": ("geojson",)}
    for name in sorted(formats):
        for own in folders[name]:
            (folder / own).mkdir(parents=True, exist_ok=True)
    if "csv" in formats:
        csv = folder / "quantification" / f"{sample}--{segmenter}_cell.csv"
        csv.write_text("CellID,DAPI,X_centroid,Y_centroid,Area\n1,1.0,15,15,100\n2,2.0,30,30,100\n")
        (folder / "markers.csv").write_text("channel_number,cycle_number,marker_name\n1,1,DAPI\n")
        (folder / "qc" / "params.yml").write_text("workflow:\n  tma: false\n")
    if "h5ad" in formats:
        import anndata
        import numpy as np

        table = anndata.AnnData(np.array([[1.0], [2.0]]))
        table.obsm["spatial"] = np.array([[15.0, 15.0], [30.0, 30.0]])
        table.write_h5ad(folder / "anndata" / f"{sample}.h5ad")
    if "geojson" in formats:
        corners = [[10, 10], [20, 10], [20, 20], [10, 20], [10, 10]]
        geometry = {"type": "Polygon", "coordinates": [corners]}
        cell = {"type": "Feature", "geometry": geometry, "properties": {"objectType": "cell"}}
        cells = {"type": "FeatureCollection", "features": [cell]}
        with gzip.open(folder / "geojson" / f"{sample}.cells.geojson.gz", "wt") as file:
            json.dump(cells, file)


def draw(o) -> None:
    o.outdir.mkdir(parents=True, exist_ok=True)
    write_same(o.outdir / "overlay.png", write_picture)
    counts = {"n_cells": 2, "n_nuclei": 2, "n_matched": 2}
    masks = f"segmentation/{o.segmenter}-{o.sample}"
    write_json(o.outdir / "summary.json", sample=o.sample, segmentation=masks, **counts)
    write_json(o.outdir / "report.json", sample=o.sample, columns={})
    (o.outdir / "report.html").write_text("<!DOCTYPE html>\n<title>Stub</title>\n")


def contrast(o) -> None:
    o.outdir.mkdir(parents=True, exist_ok=True)
    (o.outdir / "comparison.html").write_text("<!DOCTYPE html>\n<title>Stub</title>\n")
    header = "first,second,compartment,iou,f1,n_first,n_second,n_matched"
    (o.outdir / "agreement.csv").write_text(f"{header}\n")


def report(o) -> None:
    (o.outdir / "report.html").write_text("<!DOCTYPE html>\n<title>Stub</title>\n")
    (o.outdir / "samples.csv").write_text("sample,n_cells,findings,refused_reason\nstub,2,,\n")
    (o.outdir / "methods.txt").write_text("METHODS\n\nNo slide was segmented.\n")
    write_json(o.outdir / "multiqc" / "cellquilt_general_mqc.json", id="cellquilt_general")


def check(o) -> None:
    (o.outdir / "check.csv").write_text("sample,status,problems,notices\nstub,ok,,\n")
    (o.outdir / "check.txt").write_text("1 slide: 1 can be segmented\n")


def measure(o) -> None:
    o.row.write_text("image,patch_size,batch_size,tasks,slide_mpx_per_s\nstub,384,4,1,1.0\n")


def recommend(o) -> None:
    (o.outdir / "benchmark.csv").write_text("image,patch_size,batch_size\nstub,384,4\n")
    for name in ("throughput", "peak_memory"):
        write_picture(o.outdir / f"{name}.png")
    best = {"image": "stub", "tasks": 1, "slide_mpx_per_s": 1.0, "peak_memory_gb": 1.0}
    choice = {"recommended": best, "command": "nextflow run .", "n_measurements": 1}
    write_json(o.outdir / "recommendation.json", **choice)


def train(o) -> None:
    """Write a network's files; the network is a card without weights."""
    o.outdir.mkdir(parents=True, exist_ok=True)
    compartment = "nuclear" if o.name.startswith("nuclear") else "whole-cell"
    card = {
        **{"format": 1, "architecture": "stub", "patch": 1, "layers": [{"dense": 1}]},
        **{"compartment": compartment, "channels": ["nuclear"], "model_mpp": IMAGE_MPP},
        **{"classes": ["other", "cell", "edge"], "thresholds": {}, "weights_sha256": ""},
    }
    with zipfile.ZipFile(o.outdir / f"{o.name}.keras", "w") as archive:
        archive.writestr("cellquilt.json", json.dumps(card))
    write_json(o.outdir / f"{o.name}.json", **card)
    columns = "step,train_cross_entropy,validation_cross_entropy,validation_accuracy"
    (o.outdir / f"{o.name}.curve.csv").write_text(f"{columns}\n1,1.0,1.0,0.5\n")
    store = o.outdir / f"{o.name}.probabilities.zip"
    write_store(store, "test/0/probabilities", (2, SIDE, SIDE), "float16")


def evaluate(o) -> None:
    found = {"quality_score": 1.0, "metrics": {}, "problem": None, "is_whole_slide": True}
    write_json(o.outdir / "evaluation.json", sample=o.sample, **found)


def compare(o) -> None:
    o.outdir.mkdir(parents=True, exist_ok=True)
    for name in ("comparison", "networks", "ensembles"):
        (o.outdir / f"{name}.csv").write_text("architecture\nstub\n")
    for name in ("learning_curves", "probabilities", "cell_sizes"):
        write_picture(o.outdir / f"{name}.png")
    best = {"kind": "single", "architecture": "stub", "models": ["stub.keras"]}
    found = {"compartment": o.outdir.name, "recommended": best, "options": "--segmenter pixelcnn"}
    write_json(o.outdir / "comparison.json", **found)
    (o.outdir / "report.html").write_text("<!DOCTYPE html>\n<title>Stub</title>\n")


STEPS: dict[str, Callable] = {"adopt": adopt} | {
    step.__name__: step
    for step in (
        *(generate, model, network, ingest, patch, segment, label, stitch, repair),
        *(quantify, chain, export, evaluate, draw, contrast, report),
        *(check, measure, recommend, train, compare),
    )
}


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("step", choices=STEPS)
    args.add_argument("--sample", default="stub")
    args.add_argument("--compartment", default="both")
    args.add_argument("--segmenter", default="mesmer")
    args.add_argument("--name", default="stub")
    args.add_argument("--samples", nargs="+", default=[])
    args.add_argument("--formats", default="csv,h5ad,geojson")
    for path in (
        "--left",
        "--outdir",
        "--model",
        "--table",
        "--maps",
        "--labels",
        "--row",
        "--packed",
    ):
        args.add_argument(path, type=Path)
    o, others = args.parse_known_args()
    if others and o.step != "export":  # which is given what EXPORT is, for its formats
        args.error(f"unknown: {' '.join(others)}")
    STEPS[o.step](o)


if __name__ == "__main__":
    cli.run(main)
