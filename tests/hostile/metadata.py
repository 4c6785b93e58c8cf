"""Slides with malicious, absurd or unusual OME-XML."""

import re
import socket

import numpy as np
from support.slides import ROOT, ome_xml, pixels

from .corpus import case
from .tiff import ingest, ingested, is_plain_noise, slide

NAME = "slide.ome.tif"
DTD = "document type"
SECRET = "a secret that no result may hold"


def with_xml(folder, xml):
    return ingest(folder, slide(folder, xml=xml))


def plain(**options):
    """Return OME-XML without its declaration."""
    return ome_xml(**options).partition("?>")[2]


def named(name, **options):
    channels = f'<Channel ID="Channel:0:0" Name="{name}"/><Channel ID="Channel:0:1"/>'
    channels += '<Channel ID="Channel:0:2"/><TiffData IFD="0" PlaneCount="3"/>'
    return plain(inside=channels, **options)


@case("billion laughs", DTD, NAME)
def _(folder):
    laughs = '<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 11)
    )
    return with_xml(folder, f"<!DOCTYPE OME [{laughs}]>" + named("&a10;"))


@case("entity of a megabyte, used a thousand times", DTD, NAME)
def _(folder):
    return with_xml(folder, f'<!DOCTYPE OME [<!ENTITY a "{"a" * 10**6}">]>' + named("&a;" * 1000))


def is_not_told(folder):
    assert SECRET not in folder.with_suffix(".log").read_text()
    assert not any(SECRET in path.read_text() for path in folder.rglob("out/*.json"))


@case("external entity of a file", DTD, NAME, check=is_not_told)
def _(folder):
    (folder / "secret").write_text(SECRET)
    dtd = f'<!DOCTYPE OME [<!ENTITY a SYSTEM "file://{folder / "secret"}">]>'
    xml = plain(inside='<Channel ID="Channel:0:0"/><TiffData/><!-- -->').replace(
        "<Image ", "<Description>&a;</Description><Image "
    )
    return with_xml(folder, dtd + xml)


LISTENER = socket.create_server(("127.0.0.1", 0))
LISTENER.setblocking(False)


def nobody_called(folder):
    try:
        LISTENER.accept()
    except BlockingIOError:
        return
    raise AssertionError("something connected to the address in the XML")


def url():
    return f"http://127.0.0.1:{LISTENER.getsockname()[1]}/a"


@case("external entity of an address", DTD, NAME, check=nobody_called)
def _(folder):
    return with_xml(folder, f'<!DOCTYPE OME [<!ENTITY a SYSTEM "{url()}">]>' + named("&a;"))


@case("external document type", DTD, NAME, check=nobody_called)
def _(folder):
    return with_xml(folder, f'<!DOCTYPE OME SYSTEM "{url()}">' + plain())


@case("parameter entity", DTD, NAME, check=nobody_called)
def _(folder):
    return with_xml(folder, f'<!DOCTYPE OME [<!ENTITY % a SYSTEM "{url()}"> %a;]>' + plain())


def noise_and_nobody_called(folder):
    nobody_called(folder)
    is_plain_noise(folder)


@case("schema, style sheet and inclusion of an address", check=noise_and_nobody_called)
def _(folder):
    schema = f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a {url()}"'
    tail = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{url()}"/>'
    sheet = f'<?xml-stylesheet type="text/xsl" href="{url()}"?>'
    return with_xml(folder, sheet + plain(root=schema, tail=tail))


@case("a document type in a comment", check=is_plain_noise)
def _(folder):
    return with_xml(folder, "<!-- <!DOCTYPE OME> is not needed -->" + plain())


@case("XML of 8 MB", check=is_plain_noise)
def _(folder):
    plane = '<Plane TheC="0" TheZ="0" TheT="0"/>'
    return with_xml(folder, plain().replace("</Pixels>", plane * (8 * 2**20 // 40) + "</Pixels>"))


@case("XML nested 200,000 deep", "malformed", NAME)
def _(folder):
    return with_xml(folder, plain(tail="<A>" * 200_000 + "</A>" * 200_000))


@case("an attribute of 20 MB", "malformed", NAME)
def _(folder):
    return with_xml(folder, named("a" * 20 * 2**20))


@case("a hundred thousand attributes", check=is_plain_noise)
def _(folder):
    return with_xml(folder, plain(root=" ".join(f'a{n}="{n}"' for n in range(100_000))))


def spoilt(folder, old, new):
    """Write a slide whose XML has other bytes of the same length in some place."""
    path = slide(folder, xml=named("latin"))
    raw = path.read_bytes()
    assert len(old) == len(new) and raw.count(old) == 1
    path.write_bytes(raw.replace(old, new))
    return ingest(folder, path)


def is_named(folder, name):
    assert ingested(folder)[0]["image"]["channels"][0] == name


@case("a name in Latin-1", check=lambda folder: is_named(folder, "l\xe4tin"))
def _(folder):
    return spoilt(folder, b"latin", b"l\xe4tin")


@case("NUL in a name", "malformed|damaged", NAME)
def _(folder):
    return spoilt(folder, b"latin", b"l\0tin")


@case("a control character in a name", "malformed", NAME)
def _(folder):
    return spoilt(folder, b"latin", b"l\x07tin")


@case("XML in UTF-16, which is no OME-XML", check=is_plain_noise)
def _(folder):
    path = slide(folder)
    raw = path.read_bytes()
    at = raw.index(b"<?xml")
    text = ome_xml().encode()
    changed = text[: len(text) // 2].decode().encode("utf-16-le")
    path.write_bytes(raw[:at] + changed + raw[at + len(changed) :])
    return ingest(folder, path)


NAMES = {
    "shell commands": "$(touch ran); `touch ran` | touch ran",
    "a path": "../../../etc/passwd",
    "an absolute path": "/etc/passwd",
    "a format": "%s%n{0}{self.__class__}",
    "a spreadsheet's formula": "=cmd|' /C calc'!A1",
    "markup": "<script>alert(1)</script>",
    "other scripts": "\u202eDAPI\u05d0 \U0001f9ec",
    "a thousand letters": "D" * 1000,
}


def name_case(kind, name):
    @case(f"a channel named by {kind}", check=lambda folder: is_named(folder, name))
    def _(folder):
        quoted = name.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        return with_xml(folder, named(quoted))


for _kind, _name in NAMES.items():
    name_case(_kind, _name)


@case("no channel of that name, among names of lines and escapes", "no nuclear channel", NAME)
def _(folder):
    path = slide(folder, xml=named("a&#10;ERROR: forged&#13;&#9;b&#x85;c&#x9b;31m"))
    return ingest(folder, path, "--nuclear", "x\ny\x1b[31m")


@case("no channel of that name, among three thousand", "no nuclear channel", NAME)
def _(folder):
    n = 3000
    channels = "".join(f'<Channel ID="Channel:0:{c}" Name="marker {c}"/>' for c in range(n))
    xml = plain(planes=n, size=(1, 1), inside=channels + "<TiffData/>")
    path = slide(folder, np.ones((n, 1, 1), "uint8"), xml, tile=None, compression=None)
    return ingest(folder, path, "--nuclear", "DAPI")


@case("the same ID for all channels", check=is_plain_noise)
def _(folder):
    inside = '<Channel ID="Channel:0:0"/>' * 3 + '<TiffData IFD="0" PlaneCount="3"/>'
    return with_xml(folder, plain(inside=inside))


@case("two images of one ID", "several images|same", NAME)
def _(folder):
    xml = plain()
    image = re.search("<Image.*</Image>", xml)[0]
    return with_xml(folder, xml.replace(image, image + image))


@case("a thousand images", "several images|same", NAME)
def _(folder):
    xml = plain()
    image = re.search("<Image.*</Image>", xml)[0]
    return with_xml(folder, xml.replace(image, image * 1000))


SIZES = {
    "SizeC of 2^31 - 1": ('SizeC="3"', 'SizeC="2147483647"'),
    "SizeC of 10^30": ('SizeC="3"', f'SizeC="{10**30}"'),
    "SizeC of 0": ('SizeC="3"', 'SizeC="0"'),
    "SizeC of -3": ('SizeC="3"', 'SizeC="-3"'),
    "SizeZ of 2^31 - 1": ('SizeZ="1"', 'SizeZ="2147483647"'),
    "SizeX of 70,000": ('SizeX="110"', 'SizeX="70000"'),
    "SizeX that is no number": ('SizeX="110"', 'SizeX="1e2"'),
    "PlaneCount of 2^31 - 1": ('PlaneCount="3"', 'PlaneCount="2147483647"'),
    "IFD of 2^31 - 1": ('IFD="0"', 'IFD="2147483647"'),
    "IFD of -1": ('IFD="0"', 'IFD="-1"'),
    "FirstC of 2^40": ('IFD="0"', f'FirstC="{2**40}"'),
    "no SizeY": ('SizeY="150"', ""),
    "unknown order of planes": ("XYCZT", "XYABC"),
    "a thousand samples": ('ID="Channel:0:0"', 'ID="Channel:0:0" SamplesPerPixel="1000"'),
}


def size_case(what, old, new):
    @case(what, r"OME-XML|damaged", NAME)
    def _(folder):
        xml = plain()
        assert old in xml
        return with_xml(folder, xml.replace(old, new))


for _what, (_old, _new) in SIZES.items():
    size_case(_what, _old, _new)


@case("2^31 - 1 frames, all in the file", "OME-XML promises", NAME)
def _(folder):
    xml = plain().replace('SizeT="1"', f'SizeT="{2**31 - 1}"')
    return with_xml(folder, xml.replace('PlaneCount="3"', f'PlaneCount="{2**31 - 1}"'))


@case("a pixel size of infinity", check=is_plain_noise)
def _(folder):
    return with_xml(folder, plain(pixel_attributes='PhysicalSizeX="INF" PhysicalSizeY="NaN"'))


@case("planes in a file elsewhere", "must lie in one folder", NAME)
def _(folder):
    uuid = "urn:uuid:00000000-0000-0000-0000-000000000001"
    block = f'<TiffData><UUID FileName="../../etc/passwd">{uuid}</UUID></TiffData>'
    other = 'UUID="urn:uuid:00000000-0000-0000-0000-000000000002"'
    return with_xml(folder, plain(inside='<Channel ID="Channel:0:0"/>' + block, root=other))


@case("not OME at all", "malformed", NAME)
def _(folder):
    return with_xml(folder, f"<OME {ROOT}>" + "".join(map(chr, range(32, 127))) + "</OME>")


@case("QPTIFF with a billion laughs", "damaged|document type", NAME)
def _(folder):
    laughs = '<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 11)
    )
    xml = f"<!DOCTYPE A [{laughs}]><PerkinElmer-QPI-ImageDescription><Biomarker>&a10;</Biomarker>"
    xml += "</PerkinElmer-QPI-ImageDescription>"
    options = {"description": xml, "software": "PerkinElmer-QPI", "ome": False}
    return ingest(folder, slide(folder, pixels((1, 150, 110)), **options))
