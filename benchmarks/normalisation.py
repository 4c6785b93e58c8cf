"""Normalisation of two channels against deepcell's mesmer_preprocess, in one thread."""

from pathlib import Path

from bench import Bench, Row, Side

NAME, SIDE = "mosaic 2048", 2048


def rows(bench: Bench) -> list[Row]:
    bench.call("runtime", "prepare", folder=bench.scratch)
    options = {"folder": str(bench.scratch)}
    best = bench.interleave(
        3, cpus=1, peer=Side("deepcell", "peer", options), ours=Side("runtime", "ours", options)
    )
    return [
        Row(
            f"normalisation of 2 channels, {SIDE}^2 px",
            "deepcell, mesmer_preprocess",
            best["ours"]["seconds"],
            best["peer"]["seconds"],
            best["ours"]["equal"],
            "CPU time, one core; bit-identical",
            3,
        )
    ]


def prepare(folder: str) -> None:
    """Worker: save the image."""
    import numpy as np
    from fixtures import image_of

    np.save(Path(folder) / "image.npy", image_of(NAME))


def peer(folder: str) -> dict:
    """Worker: normalise as deepcell does."""
    import numpy as np
    from clocks import best_of
    from deepcell.applications.mesmer import mesmer_preprocess

    image = np.load(Path(folder) / "image.npy")[None]
    best, normalised = best_of(lambda: mesmer_preprocess(image), 2)
    np.save(Path(folder) / "peer.npy", normalised[0])
    return {"seconds": best}


def ours(folder: str) -> dict:
    """Worker: normalise as INGEST does, with the whole image as one strip."""
    import numpy as np
    from clocks import best_of

    from cellquilt.slides import normalise

    image = np.load(Path(folder) / "image.npy")
    planes = [np.ascontiguousarray(image[..., i]) for i in range(2)]

    def one(plane):
        top = normalise.TopValues(plane.size)
        top.add(plane)
        channel = normalise.channel_of(top, plane.min(), plane.max(), plane.dtype)
        grey = normalise.grey_levels(plane, channel)
        codes = normalise.clahe_rows(grey, 0, 0, SIDE)
        return normalise.float_of_code(int(codes.min()), int(codes.max()))[codes]

    best, normalised = best_of(lambda: [one(plane) for plane in planes], 3)
    theirs = np.load(Path(folder) / "peer.npy")
    return {"seconds": best, "equal": bool(np.array_equal(np.stack(normalised, -1), theirs))}
