#!/usr/bin/env python3
"""Write the training images of the networks in assets/networks, and their samplesheets."""

import argparse
import csv
import hashlib
from pathlib import Path

import tifffile

from cellquilt.images.label_image import write_label_image
from cellquilt.synthetic.microscope import write_image
from cellquilt.synthetic.tissue import generate_tissue, write_tissue

COLUMNS = ("sample", "image", "labels", "split", "nuclear", "membrane", "image_mpp")
# Seeds are not the demo's. The pixel sizes make cells larger or smaller than they were
# generated, as those of other tissues are: lymphocytes have half the area or less.
TISSUES = {101: 0.5, 102: 0.36, 103: 0.28}
SIDE_UM = 448.0  # at these pixel sizes
SHA256 = {
    "img2d.tif": "f9ccc1571b92c861ff87e28463068b43f61bd47357ed0503f711e5cd1eb97750",
    "mask2d.tif": "59ad5e820b7982ca9d13e946fa6e7f64e2714899e00a2ae6c69aa79aad53d46f",
}
WHEEL_MPP = 0.5  # not known; its nuclei are 12 um across at this size


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--wheel", type=Path, required=True, help="folder with stardist installed")
    args.add_argument("--outdir", type=Path, required=True)
    o = args.parse_args()
    rows: dict[str, list[dict]] = {"whole-cell": [], "nuclear": []}
    for seed, image_mpp in TISSUES.items():
        folder = o.outdir / f"tissue-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        names = ("tissue", "cell_truth", "nucleus_truth")
        image, *truths = (folder / f"{name}.ome.tif" for name in names)
        side = round(SIDE_UM / image_mpp)
        write_tissue(generate_tissue(side, side, seed, empty_width=side // 16), image, *truths)
        channels = {"nuclear": "DAPI", "membrane": "CD45;PanCK", "image_mpp": image_mpp}
        for compartment, labels in zip(rows, truths, strict=True):
            row = {"sample": f"tissue-{seed}", "image": image, "labels": labels}
            rows[compartment].append(row | channels)
    image, labels = write_wheel_image(o.wheel, o.outdir)
    row = {"sample": "stardist", "image": image, "labels": labels, "nuclear": 0}
    rows["nuclear"].append(row | {"image_mpp": WHEEL_MPP})
    for compartment, lines in rows.items():
        with open(o.outdir / f"{compartment}.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(lines)


def write_wheel_image(wheel: Path, outdir: Path) -> tuple[Path, Path]:
    """Write the wheel's image of nuclei and its labels as OME-TIFFs; return their paths."""
    pixels = {}
    for name, expected in SHA256.items():
        file = wheel / "stardist" / "data" / "images" / name
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != expected:
            raise SystemExit(f"{file}: is not the training file (SHA-256 {found})")
        pixels[name] = tifffile.imread(file)
    image, labels = outdir / "stardist.ome.tif", outdir / "stardist_labels.ome.tif"
    write_image(image, pixels["img2d.tif"][None], ("nuclei",), WHEEL_MPP)
    write_label_image(labels, pixels["mask2d.tif"].astype("uint32"), WHEEL_MPP, "nuclei")
    return image, labels


if __name__ == "__main__":
    main()
