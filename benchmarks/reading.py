"""Reading 2 of 40 channels of a tiled OME-TIFF against reading the stack."""

from pathlib import Path

from bench import Bench, Row, Side

N_CHANNELS, WANTED, SIDE = 40, (0, 2), 2048


def rows(bench: Bench) -> list[Row]:
    slide = bench.scratch / "slide.ome.tif"
    written = bench.call("runtime", "write", slide=slide)
    options = {"slide": str(slide), "target": str(bench.scratch)}
    best = bench.interleave(
        3, ours=Side("runtime", "ours", options), peer=Side("runtime", "stack", options)
    )
    ours, peer = best["ours"], best["peer"]
    share = ours["bytes"] / written["bytes"]
    return [
        Row(
            f"2 of {N_CHANNELS} channels of a tiled OME-TIFF, {SIDE}^2 px each",
            "tifffile, the whole stack",
            ours["seconds"],
            peer["seconds"],
            bench.call("runtime", "compare", folder=bench.scratch)["equal"] and share <= 1.05,
            f"bytes read / bytes of the two channels: {share:.3f} (target: at most 1.05); wall",
            15,
        )
    ]


def write(slide: str) -> dict:
    """Worker: write the stack; return the bytes that the wanted channels take in it."""
    import numpy as np
    import tifffile
    from fixtures import image_of

    nuclear, membrane = np.moveaxis(image_of("mosaic 2048"), -1, 0)
    shifted = [np.roll(plane, 64 * i, 1) for i in range(20) for plane in (nuclear, membrane)]
    names = {"axes": "CYX", "Channel": {"Name": [f"channel {i}" for i in range(N_CHANNELS)]}}
    tifffile.imwrite(
        slide, np.stack(shifted), ome=True, photometric="minisblack", tile=(512, 512),
        compression="zlib", metadata=names,
    )  # fmt: skip
    with tifffile.TiffFile(slide) as tif:
        return {"bytes": sum(sum(tif.pages[i].databytecounts) for i in WANTED)}


def ours(slide: str, target: str) -> dict:
    """Worker: the two channels by Cellquilt's reader, in strips."""
    import numpy as np
    from clocks import WALL, best_of, bytes_read

    from cellquilt.slides.readers import open_slide

    def read():
        with open_slide(slide) as opened:
            return np.stack([opened.read(channel, 0, opened.height) for channel in WANTED])

    read()  # imports what it needs
    before = bytes_read()
    pixels = read()
    n_bytes = bytes_read() - before
    best, _ = best_of(read, 3, WALL)
    np.save(Path(target) / "ours.npy", pixels)
    return {"seconds": best, "bytes": n_bytes}


def stack(slide: str, target: str) -> dict:
    """Worker: the whole stack by tifffile."""
    import numpy as np
    import tifffile
    from clocks import WALL, best_of

    best, pixels = best_of(lambda: tifffile.imread(slide), 2, WALL)
    np.save(Path(target) / "peer.npy", pixels[list(WANTED)])
    return {"seconds": best}


def compare(folder: str) -> dict:
    """Worker: whether both read the same pixels."""
    import numpy as np

    ours, peer = (np.load(Path(folder) / f"{name}.npy") for name in ("ours", "peer"))
    return {"equal": bool(np.array_equal(ours, peer))}
