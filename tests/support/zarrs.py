"""OME-Zarr for the tests, written with zarr alone, and its metadata to be changed."""

import json
import zipfile

import zarr


def write_zarr(
    path,
    data,
    version="0.4",
    axes="cyx",
    names=None,
    mpp=0.5,
    unit="micrometer",
    levels=1,
    **options,
):
    """Write an image of a version; without `unit` there is none, and a scale of 1."""
    group = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3)
    write_image(group, data, version, axes, names, mpp, unit, levels, **options)
    return path


def write_image(
    group,
    data,
    version="0.4",
    axes="cyx",
    names=None,
    mpp=0.5,
    unit="micrometer",
    levels=1,
    **options,
):
    """Write an image into a group, with every second pixel at each further level."""
    types = {"c": "channel", "t": "time"}
    described = [{"name": axis, "type": types.get(axis, "space")} for axis in axes]
    for axis in described[-2:] if unit else ():
        axis["unit"] = unit
    datasets = []
    for level in range(levels):
        pixels = data[..., :: 2**level, :: 2**level]
        layout = {"chunks": (*[1] * (data.ndim - 2), 64, 48)} | options
        stored = group.create_array(str(level), shape=pixels.shape, dtype=pixels.dtype, **layout)
        stored[...] = pixels
        size = mpp * 2**level if unit else 1.0
        scale = {"type": "scale", "scale": [*[1.0] * (data.ndim - 2), size, size]}
        datasets.append({"path": str(level), "coordinateTransformations": [scale]})
    told = {"multiscales": [{"version": version, "axes": described, "datasets": datasets}]}
    if names:
        told["omero"] = {"channels": [{"label": name} for name in names]}
    group.attrs.update(told if version == "0.4" else {"ome": {"version": version} | told})


def zipped(folder, path, within="", compression=zipfile.ZIP_STORED):
    """Pack the files of a folder, in a folder of the zip if one is named."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{within}{file.relative_to(folder)}")
    return path


def change(path, *keys, value):
    """Change a value in a metadata file; without it, leave it out."""
    document = place = json.loads(path.read_text())
    for key in keys[:-1]:
        place = place[key]
    if value is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    path.write_text(json.dumps(document))
