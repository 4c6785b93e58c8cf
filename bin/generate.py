#!/usr/bin/env python3
"""Generate a multiplexed tissue with known cells and nuclei, as OME-TIFFs (GENERATE)."""

from pathlib import Path

from cellquilt import cli, tissue


def main() -> None:
    """Generate, write and say how many cells there are."""
    args = cli.parser(__doc__)
    args.add_argument("--height", type=int, default=1024, help="px")
    args.add_argument("--width", type=int, default=1312, help="px")
    args.add_argument("--seed", type=int, default=7, help="of the random numbers")
    args.add_argument(
        "--empty", action="store_true", help="no tissue: camera offset and noise only"
    )
    args.add_argument("--image", type=Path, required=True, help="OME-TIFF to write")
    args.add_argument("--cell_truth", type=Path, required=True, help="label image to write")
    args.add_argument("--nucleus_truth", type=Path, required=True, help="label image to write")
    options = args.parse_args()

    size = {"empty_width": options.width} if options.empty else {}
    slide = tissue.generate_tissue(options.height, options.width, options.seed, **size)
    tissue.write_tissue(slide, options.image, options.cell_truth, options.nucleus_truth)
    cli.log.info(
        "generate: %d x %d px, %d cells, %.1f GB peak memory",
        options.height,
        options.width,
        slide.cell_truth.max(),
        cli.peak_memory_gb(),
    )


if __name__ == "__main__":
    cli.run(main)
