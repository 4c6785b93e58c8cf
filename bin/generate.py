#!/usr/bin/env python3
"""Generate a multiplexed tissue with known cells and nuclei, as OME-TIFFs."""

from pathlib import Path

from cellquilt import cli
from cellquilt.synthetic import tissue


def main() -> None:
    """Generate, write and say how many cells there are."""
    args = cli.parser(__doc__)
    args.add_argument("--height", type=int, default=1024, help="px")
    args.add_argument("--width", type=int, default=1312, help="px")
    args.add_argument("--empty_width", type=int, default=416, help="strip without tissue, px")
    args.add_argument("--seed", type=int, default=7, help="of the random numbers")
    args.add_argument(
        "--empty", action="store_true", help="no tissue: camera offset and noise only"
    )
    args.add_argument("--outdir", type=Path, required=True, help="folder of image and truth")
    options = args.parse_args()

    empty_width = options.width if options.empty else options.empty_width
    slide = tissue.generate_tissue(options.height, options.width, options.seed, empty_width)
    options.outdir.mkdir(parents=True, exist_ok=True)
    names = ("tissue", "cell_truth", "nucleus_truth")
    tissue.write_tissue(slide, *(options.outdir / f"{name}.ome.tif" for name in names))
    cli.log.info(
        "generate: %d x %d px, %d cells, %.1f GB peak memory",
        options.height,
        options.width,
        slide.cell_truth.max(),
        cli.peak_memory_gb(),
    )


if __name__ == "__main__":
    cli.run(main)
