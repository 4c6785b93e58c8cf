"""Slides in several files: some are missing, lead elsewhere, or are not what their name says."""

import os

import numpy as np
import tifffile
from support.slides import (
    ROOT,
    UUID,
    binary_only,
    ome_xml,
    pixels,
    set_xml,
    write_channels,
    write_set,
)

from .corpus import case
from .tiff import ingest, is_plain_noise, slide, with_tile, zeros_deflated

MEMBER = "set_C1.ome.tif"
PANEL = ["CD45", "ECAD", "HH3"]


def of_set(folder, change):
    """Return the command line that ingests an OME-TIFF of several files, changed before."""
    members = write_set(folder / "set", pixels(), companion=True)
    change(members)
    return ingest(folder, members[0])


def of_folder(folder, change):
    """Return the command line that ingests a folder of one-channel files, changed before."""
    write_channels(folder / "s", pixels(), PANEL)
    change(folder / "s")
    return ingest(folder, folder / "s")


def replaced(path, by):
    path.unlink()
    return by(path)


@case("set: sound", check=is_plain_noise)
def _(folder):
    return of_set(folder, lambda members: None)


@case("folder: sound", check=is_plain_noise)
def _(folder):
    return of_folder(folder, lambda path: None)


@case("set: a member is missing", "has no 'set_C1.ome.tif'", MEMBER)
def _(folder):
    return of_set(folder, lambda members: members[1].unlink())


@case("set: a member that links to itself", "has no 'set_C1.ome.tif'", MEMBER)
def _(folder):
    return of_set(folder, lambda m: replaced(m[1], lambda path: path.symlink_to(path.name)))


@case("set: a member that is a pipe", "has no 'set_C1.ome.tif'", MEMBER)
def _(folder):
    return of_set(folder, lambda members: replaced(members[1], os.mkfifo))


@case("set: a member that is a device", "has no 'set_C1.ome.tif'", MEMBER)
def _(folder):
    return of_set(folder, lambda m: replaced(m[1], lambda path: path.symlink_to("/dev/zero")))


@case("set: a member that is the companion", "promises 3 planes", "set.companion.ome")
def _(folder):
    return of_set(folder, lambda m: replaced(m[1], lambda path: path.symlink_to(m[3].name)))


@case("set: members that are one file", check=is_plain_noise)
def _(folder):
    return of_set(folder, lambda m: replaced(m[1], lambda path: path.symlink_to(m[2].name)))


@case("set: a member whose tile inflates to gigabytes", "truncated or damaged|claims", MEMBER)
def _(folder):
    def change(members):
        bomb = with_tile(folder, zeros_deflated(1 << 31), 8, 256, "uint16")
        bomb.replace(members[1])
        for path in (members[0], members[2]):
            tifffile.imwrite(path, np.zeros((256, 256), "uint16"), metadata=None)
        files = [(path.name, UUID.format(c)) for c, path in enumerate(members[:3])]
        members[3].write_text(set_xml(files, UUID.format(999), (256, 256)))

    members = write_set(folder / "set", pixels(), companion=True)
    change(members)
    return ingest(folder, members[3], "--membrane", "1")


@case("set: metadata in a circle", "which has none", "set_C0.ome.tif")
def _(folder):
    def change(members):
        members[3].unlink()
        for path, other in ((members[0], members[1]), (members[1], members[0])):
            slide(path.parent, pixels(), binary_only(UUID.format(0), other.name), path.name)

    return of_set(folder, change)


@case("set: a companion that leads elsewhere", "must lie in one folder", "set.companion.ome")
def _(folder):
    path = folder / "set.companion.ome"
    path.write_text(set_xml([("../../etc/passwd", UUID.format(0))], UUID.format(1)))
    return ingest(folder, path)


@case("set: a companion with 20,000 blocks", "promises 3 planes", "set.companion.ome")
def _(folder):
    block = f'<TiffData IFD="0"><UUID FileName="a.tif">{UUID.format(0)}</UUID></TiffData>'
    path = folder / "set.companion.ome"
    path.write_text(ome_xml(3, inside=block * 20_000))
    slide(folder, name="a.tif")
    return ingest(folder, path)


@case("set: a companion that names 20,000 files", "has no '1.tif'", "set.companion.ome")
def _(folder):
    files = [(f"{n}.tif", UUID.format(n)) for n in range(1, 20_001)]
    path = folder / "set.companion.ome"
    path.write_text(set_xml(files, UUID.format(0), channels=["a"]))
    return ingest(folder, path)


@case("set: a companion of 2^31 - 1 planes in each file", "promises|beyond", "set.companion.ome")
def _(folder):
    xml = set_xml([("a.tif", UUID.format(0))], UUID.format(1))
    xml = xml.replace('PlaneCount="1"', f'PlaneCount="{2**31 - 1}"')
    path = folder / "set.companion.ome"
    path.write_text(xml.replace('SizeT="1"', f'SizeT="{2**31 - 1}"'))
    slide(folder, name="a.tif")
    return ingest(folder, path)


@case("set: a companion with a billion laughs", "document type", "set.companion.ome")
def _(folder):
    laughs = "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' if n else '<!ENTITY a0 "ha">' for n in range(11)
    )
    path = folder / "set.companion.ome"
    path.write_text(f"<!DOCTYPE OME [{laughs}]><OME {ROOT}>&a10;</OME>")
    return ingest(folder, path)


@case("set: a companion of a gigabyte", "more than the 20,000,000 read", "set.companion.ome")
def _(folder):
    path = folder / "set.companion.ome"
    path.write_text(ome_xml(3))
    os.truncate(path, 1 << 30)
    return ingest(folder, path)


@case("folder: empty", "holds no images of a channel each", "s")
def _(folder):
    (folder / "s").mkdir()
    return ingest(folder, folder / "s")


@case("folder: a folder that links to itself beside", check=is_plain_noise)
def _(folder):
    return of_folder(folder, lambda path: (path / "loop").symlink_to(path))


@case("folder: nothing but a link to itself", "Too many levels", "loop")
def _(folder):
    (folder / "s").mkdir()
    (folder / "s" / "loop").symlink_to("loop")
    (folder / "s" / "again").symlink_to(folder / "s")
    return ingest(folder, folder / "s")


@case("folder: a pipe", "not a file but a pipe", "b.tif")
def _(folder):
    return of_folder(folder, lambda path: os.mkfifo(path / "b.tif"))


@case("folder: a device", "not a file but a pipe", "b.tif")
def _(folder):
    return of_folder(folder, lambda path: (path / "b.tif").symlink_to("/dev/zero"))


@case("folder: a text as image, with a line break in its name", "not a TIFF", "tif")
def _(folder):
    return of_folder(folder, lambda path: (path / "a\n\x1b[31mb.tif").write_text("x"))


@case("folder: line breaks in names", check=is_plain_noise)
def _(folder):
    return of_folder(folder, lambda p: (p / "CD45.tif").rename(p / "CD45\n\x1b[31m;\r45.tif"))


@case("folder: a file cut in half", "truncated", "ECAD.tif")
def _(folder):
    return of_folder(folder, lambda path: os.truncate(path / "ECAD.tif", 9000))


@case("folder: a file of another size", "its size is", "ECAD.tif")
def _(folder):
    return of_folder(folder, lambda path: tifffile.imwrite(path / "ECAD.tif", pixels((9, 9))))


@case("folder: 300 channels", check=is_plain_noise)
def _(folder):
    write_channels(folder / "s", np.tile(pixels(), (100, 1, 1)), [f"c{n}" for n in range(300)])
    return ingest(folder, folder / "s", "--membrane", "c10;c299")


@case("folder: 20,000 files", "20,000 files are more than the 5,000", "s")
def _(folder):
    (folder / "s").mkdir()
    for number in range(20_000):
        (folder / "s" / f"{number}.tif").touch()
    return ingest(folder, folder / "s")
