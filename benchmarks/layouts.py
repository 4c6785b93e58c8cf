"""INGEST of 2 of 40 channels from a folder of files and from OME-Zarr, against one OME-TIFF.

And of a z-stack by its brightest plane, against the same image made beforehand.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from bench import Bench, Row

N_CHANNELS, WANTED, SIDE = 40, (0, 2), 8192
N_PLANES = 5
TITLES = {"folder": "a folder of TIFFs of one channel", "zarr": "OME-Zarr, a channel a chunk"}
MAX_SHARE = 1.05
MAX_MEMORY, MAX_MEMORY_OF_STACK = 1.1, 1.5  # times that of the peer, who reads one plane


def rows(bench: Bench) -> Iterator[Row]:
    found = {layout: ingested(bench, layout, WANTED) for layout in ("tiff", *TITLES)}
    for layout, title in TITLES.items():
        yield row_of(
            f"INGEST of 2 of {N_CHANNELS} channels of {SIDE}^2 px: {title}",
            "one OME-TIFF",
            found[layout],
            found["tiff"],
            bench,
        )
    stack, projected = (ingested(bench, layout, (0, 1)) for layout in ("stack", "projected"))
    work = f"INGEST of 2 channels of {SIDE}^2 px, the brightest of {N_PLANES} planes"
    yield row_of(work, "the projected image", stack, projected, bench, MAX_MEMORY_OF_STACK)


def name_of(channel: int) -> str:
    return f"channel {channel}"


def ingested(bench: Bench, layout: str, wanted: tuple[int, int]) -> dict:
    """Write a slide, read its channels and INGEST it; return what is known of these, and where."""
    slide, folder = bench.scratch / layout, bench.scratch / f"ingested-{layout}"
    written = bench.call("runtime", "write", slide=slide, layout=layout)
    files = sorted(slide.iterdir()) if layout == "folder" else [slide]
    z = ["--z", "max"] if layout == "stack" else []
    names = [name_of(channel) for channel in wanted]
    read = {"names": names, "z": z[-1] if z else None, "files": list(map(str, files))}
    step = bench.step(
        "ingest", "--sample", layout, "--image", *files, "--nuclear", names[0], "--membrane",
        names[1], "--image_mpp", "0.5", *z, "--outdir", folder,
    )  # fmt: skip
    found = written | bench.call("runtime", "read", **read) | step
    shutil.rmtree(slide) if slide.is_dir() else slide.unlink()
    return found | {"store": folder / "normalised.zip"}


def row_of(
    work: str, peer: str, ours: dict, of_peer: dict, bench: Bench, more: float = MAX_MEMORY
) -> Row:
    share = ours["bytes_read"] / ours["bytes"]
    same = bench.call("runtime", "compare", stores=[str(ours["store"]), str(of_peer["store"])])
    is_bounded = ours["peak_gb"] <= more * of_peer["peak_gb"]
    return Row(
        work,
        peer,
        ours["cpu_s"],
        of_peer["cpu_s"],
        same["equal"] and share <= MAX_SHARE and is_bounded,
        f"processor time; peak memory {ours['peak_gb']:.2f} against {of_peer['peak_gb']:.2f} GB; "
        f"bytes read / bytes of the channels: {share:.3f} (target: at most {MAX_SHARE})",
    )


def write(slide: str, layout: str) -> dict:
    """Worker: write one of the slides; return the bytes that the wanted channels take in it."""
    import numpy as np
    import tifffile
    from fixtures import image_of

    small = np.moveaxis(image_of("mosaic 2048"), -1, 0)
    times = SIDE // small.shape[1]
    planes = [np.tile(np.roll(plane, 64 * i, 1), (times, times)) for i in (0, 1) for plane in small]
    tiles = {"tile": (512, 512), "compression": "zlib", "compressionargs": {"level": 1}}
    tiles |= {"photometric": "minisblack"}
    path = Path(slide)

    def sizes(file: Path, pages: list[int]) -> int:
        with tifffile.TiffFile(file) as tif:
            return sum(sum(tif.pages[i].databytecounts) for i in pages)

    def write_tiff(file: Path, data, axes: str, n: int) -> None:
        names = {"Channel": {"Name": [name_of(i) for i in range(n)]}}
        shape = (n, *([N_PLANES] if "Z" in axes else []), SIDE, SIDE)
        with tifffile.TiffWriter(file, bigtiff=True, ome=True) as tif:
            tif.write(
                data, shape=shape, dtype=small.dtype, metadata={"axes": axes} | names, **tiles
            )

    if layout == "tiff":
        write_tiff(path, (t for i in range(N_CHANNELS) for t in tiles_of(planes[i % 4])), "CYX",
                   N_CHANNELS)  # fmt: skip
        return {"bytes": sizes(path, list(WANTED))}
    if layout == "folder":
        path.mkdir()
        for i in range(N_CHANNELS):
            tifffile.imwrite(path / f"{name_of(i)}.tif", planes[i % 4], metadata=None, **tiles)
        return {"bytes": sum(sizes(path / f"{name_of(i)}.tif", [0]) for i in WANTED)}
    if layout == "zarr":
        return {"bytes": write_zarr(path, planes)}
    stack = [dimmed(plane, z) for plane in planes[:2] for z in range(N_PLANES)]
    if layout == "stack":
        write_tiff(path, (t for plane in stack for t in tiles_of(plane)), "CZYX", 2)
        return {"bytes": sizes(path, list(range(2 * N_PLANES)))}
    brightest = [np.max(stack[i : i + N_PLANES], axis=0) for i in (0, N_PLANES)]
    write_tiff(path, (t for plane in brightest for t in tiles_of(plane)), "CYX", 2)
    return {"bytes": sizes(path, [0, 1])}


def dimmed(plane, z: int):
    """Return what a plane beside the sharpest one, the third, has of it."""
    import numpy as np

    return np.roll(plane, 17 * (z - 2), 0) // (1 + abs(z - 2))


def tiles_of(plane):
    for y in range(0, SIDE, 512):
        for x in range(0, SIDE, 512):
            yield plane[y : y + 512, x : x + 512]


def write_zarr(path: Path, planes: list) -> int:
    """Write OME-Zarr 0.4 with a chunk for each channel; return the bytes of the wanted ones."""
    import zarr

    group = zarr.create_group(path, zarr_format=2)
    array = group.create_array(
        "0", shape=(N_CHANNELS, SIDE, SIDE), dtype=planes[0].dtype, chunks=(1, SIDE, SIDE),
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )  # fmt: skip
    for i in range(N_CHANNELS):
        array[i] = planes[i % 4]
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    group.attrs["omero"] = {"channels": [{"label": name_of(i)} for i in range(N_CHANNELS)]}
    return sum(f.stat().st_size for i in WANTED for f in (path / "0" / str(i)).rglob("*"))


def read(files: list[str], names: list[str], z: str | None) -> dict:
    """Worker: read channels once, in strips; return the bytes that this took."""
    from clocks import bytes_read

    from cellquilt.slides.readers import open_slide
    from cellquilt.slides.selection import Selection

    paths = [Path(file) for file in files]
    open_slide(paths, Selection(z=z)).close()  # what it imports is no part of the slide
    before = bytes_read()
    with open_slide(paths, Selection(z=z)) as opened:
        there = [channel.name for channel in opened.channels]
        for channel in map(there.index, names):
            for y in range(0, SIDE, 512):
                opened.read(channel, y, y + 512)
            opened.release(channel)
    return {"bytes_read": bytes_read() - before}


def compare(stores: list[str]) -> dict:
    """Worker: whether two stores have the same codes and limits."""
    import numpy as np

    from cellquilt.handoff import stores as stored

    with stored.read(Path(stores[0])) as one, stored.read(Path(stores[1])) as other:
        equal = all(np.array_equal(one[name][:], other[name][:]) for name in ("codes", "lut"))
    return {"equal": bool(equal)}
