"""The viewer: what its packs hold is the table, the masks and the slide, and a browser shows it."""

import base64
import io
import json
import re
import runpy
import sys
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from support import axe
from support.browser import Page
from support.steps import quantified, repaired

from cellquilt import exports
from cellquilt.cells import cell_table
from cellquilt.errors import DataError
from cellquilt.exports.picture import open_picture
from cellquilt.exports.viewer import channel_tiles
from cellquilt.exports.viewer.places import read_places
from cellquilt.images.label_image import LabelReader

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
NAMES = ["DAPI", HOSTILE, "CD4", "CD4"]
HEIGHT, WIDTH, MPP = 1100, 1301, 0.5  # several blocks, tiles and zooms, odd sizes
TILE = channel_tiles.TILE


@dataclass
class Sample:
    """A measured slide, and its viewer."""

    slide: Path
    table: Path
    masks: dict[str, Path]
    image: np.ndarray
    folder: Path

    @property
    def viewer(self):
        return self.folder / "viewer"

    @property
    def facts(self):
        text = (self.viewer / "slide.js").read_text()
        return json.loads(re.fullmatch(r"cellquilt\.show\((.*)\);\n", text)[1])

    def pack(self, key):
        text = (self.viewer / f"{key}.js").read_text()
        found, parts = json.loads(f"[{re.fullmatch(r'cellquilt.pack[(](.*)[)];\n', text)[1]}]")
        assert found == key
        return parts

    def rows(self):
        """Return the table's rows of the cells in the masks, by id."""
        rows = cell_table.read(self.table).dropna(subset="cell_id")
        if len(self.masks) > 1:
            rows = rows[rows["status"] == "matched"]
        return rows.set_index(rows["cell_id"].to_numpy(int)).sort_index()


def disks(rng):
    """Return cells in no order of their places, one with a hole, one in two parts; and nuclei."""
    cells, nuclei = np.zeros((2, HEIGHT, WIDTH), np.uint32)
    centres = [(y, x) for y in range(30, HEIGHT - 20, 45) for x in range(30, WIDTH - 20, 40)]
    labels = rng.permutation(len(centres)) + 1
    for label, (y, x) in zip(labels, centres, strict=True):
        radius = rng.integers(8, 24, 2)  # neighbours cover each other
        box = np.s_[y - 25 : y + 26, x - 25 : x + 26]
        rows, columns = np.ogrid[-25:26, -25:26]
        size = (rows / radius[0]) ** 2 + (columns / radius[1]) ** 2
        size = size[: cells[box].shape[0], : cells[box].shape[1]]
        cells[box][size < 1] = label
    for label, (y, x) in zip(labels, centres, strict=True):
        box = np.s_[y - 5 : y + 4, x - 4 : x + 6]
        nuclei[box][cells[box] == label] = label
    cells[cells == labels[0]] = 0
    cells[30:40, 30:40], cells[33:36, 33:36], cells[45:50, 30:34] = labels[0], 0, labels[0]
    nuclei[nuclei == labels[0]] = 0
    nuclei[36:39, 32:39] = labels[0]
    return cells, nuclei


def written(folder, dtype=np.uint16, spec="all", both=True, name="slide", empty=False):
    """Return a slide, measured, with its viewer."""
    rng = np.random.default_rng(3)
    cells, nuclei = disks(rng)
    if empty:
        cells[:], nuclei[:] = 0, 0
    image = rng.gamma(2, 300, (4, HEIGHT, WIDTH)) + 900 * (cells > 0)
    image = np.clip(image, 0, 255 if dtype == np.uint8 else 60000).astype(dtype)
    image[3] = 7  # constant
    slide = folder / f"{name}.ome.tif"
    metadata = {"axes": "CYX", "Channel": {"Name": NAMES}}
    options = {"tile": (256, 256), "photometric": "minisblack", "compression": "zlib"}
    tifffile.imwrite(slide, image, ome=True, metadata=metadata, **options)
    masks, matches = repaired(folder, cells, nuclei, MPP, "one")
    if not both:
        masks, matches = {"nucleus": masks["nucleus_original"]}, None
    table = quantified(folder / "one.parquet", slide, masks, matches, MPP)
    places = read_places(*places_of(folder), "one")
    with (
        cell_table.open_cells(table, masks) as found,
        open_picture([slide], table, found.facts, spec, places) as picture,
    ):
        exports.export(found, ["viewer"], folder, 2, picture)
    return Sample(slide, table, masks, image, folder)


def places_of(folder):
    """Return the files of patches and regions of a slide."""
    patches = folder / "patches_metadata.csv"
    patches.write_text(
        "patch_id,y0,x0,height,width,is_informative,reason,out_of_focus,saturated\n"
        "0,0,0,700,1301,True,,True,True\n1,700,0,400,1301,False,no_signal,False,False\n"
    )
    outline = "POLYGON ((100 100, 600 100, 600 400, 100 100), (300 150, 500 150, 500 200, 300 150))"
    facts = {"sample": "one", "image_mpp": MPP, "regions": [{"name": HOSTILE, "outline": outline}]}
    (folder / "sample.json").write_text(json.dumps(facts))
    return patches, folder / "sample.json"


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return written(tmp_path_factory.mktemp("viewer"), name="<img src=x onerror=alert(1)>")


def inflated(text):
    return zlib.decompress(base64.b64decode(text), wbits=-zlib.MAX_WBITS)


def integers(text):
    content = inflated(text)
    head, planes = content[0], np.frombuffer(content[1:], np.uint8)
    planes = planes.reshape(head & 15, -1).astype(np.int64)
    values = (planes << 8 * np.arange(len(planes))[:, None]).sum(axis=0)
    if head & 16:
        values = (values >> 1) ^ -(values & 1)
    return np.cumsum(values) if head & 32 else values


def levels_of(sample, channel, zoom):
    """Return a whole channel at a zoom, as levels, from its tiles."""
    side = sample.facts["side"]
    height, width = (-(-length // 2**zoom) for length in (HEIGHT, WIDTH))
    found = np.zeros((height, width), np.uint8)
    for y0 in range(0, height, TILE):
        for x0 in range(0, width, TILE):
            row, column = y0 // TILE, x0 // TILE
            parts = sample.pack(f"tiles/{channel}/{zoom}-{row // side}-{column // side}")
            tile = found[y0 : y0 + TILE, x0 : x0 + TILE]
            content = inflated(parts[row % side * side + column % side])
            above = np.frombuffer(content, np.uint8).reshape(tile.shape)
            tile[:] = np.cumsum(above, axis=0, dtype=np.uint8)
    return found


def means(pixels):
    """Return the means of 2 x 2 pixels, at the edges of those that are there."""
    even = np.pad(pixels, [(0, length % 2) for length in pixels.shape], mode="edge").astype(int)
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2] + 2) // 4


def test_tiles_are_the_slide_at_every_zoom_within_half_a_level(sample):
    channels = sample.facts["channels"]
    assert [channel["name"] for channel in channels] == ["DAPI", HOSTILE, "CD4", "CD4_2"]
    for number, channel in enumerate(channels):
        pixels = sample.image[number].astype(int)
        for zoom in (0, 1, 2):
            levels = levels_of(sample, number, zoom).astype(float)
            if channel["exact"]:
                found = channel["low"] + levels
                np.testing.assert_array_equal(found, pixels)
            else:
                span = channel["high"] - channel["low"]
                ends = [np.clip(levels + half, 0, 255) / 255 for half in (-0.5, 0.5)]
                low, high = (channel["low"] + end**2 * span for end in ends)
                shown = np.minimum(pixels, channel["high"])
                assert (low - 1e-6 <= shown).all() and (shown <= high + 1e-6).all()
            pixels = means(pixels)
    assert channels[0]["high"] < sample.image[0].max() * 1.01
    assert channels[3]["exact"] and not channels[0]["exact"]


def test_pixels_of_eight_bits_are_exact(tmp_path):
    sample = written(tmp_path, np.uint8, spec="3;DAPI")
    assert [channel["name"] for channel in sample.facts["channels"]] == ["CD4_2", "DAPI"]
    np.testing.assert_array_equal(levels_of(sample, 1, 0), sample.image[0])


def outlines(sample, block, layer):
    """Yield id and rings of corners of each object in a block, from its pack."""
    ids, *arrays = map(integers, sample.pack(f"cells/{block}"))
    n_rings, heads, xs, ys, lengths = arrays[5 * layer : 5 * layer + 5]
    lengths, starts = iter(lengths.tolist()), iter(zip(heads.tolist(), xs, ys, strict=True))
    for label, n in zip(ids.tolist(), n_rings.tolist(), strict=True):
        rings = []
        for _ in range(n):
            head, x, y = next(starts)
            at, first, corners = [x, y], [x, y], [(x, y)]
            n_sides, axis = head >> 1, 0 if head & 1 else 1
            for side in range(n_sides - 1):
                at[axis] = at[axis] + next(lengths) if side < n_sides - 2 else first[axis]
                corners.append(tuple(at))
                axis = 1 - axis
            rings.append(corners)
        yield label, rings
    assert next(lengths, None) is None and next(starts, None) is None


def drawn(sample, layer):
    """Return a mask from the outlines: what a row of pixels crosses an odd number of sides to."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint32)
    for block, (n, first, last, *box) in enumerate(sample.facts["cells"]["blocks"]):
        found = list(outlines(sample, block, layer))
        assert (len(found), found[0][0], found[-1][0]) == (n, first, last)
        x0, y0, x1, y1 = box
        for label, rings in found:
            crossed = np.zeros((y1 - y0, x1 - x0 + 1), bool)
            for ring in rings:
                for (xa, ya), (xb, yb) in pairwise([*ring, ring[0]]):
                    assert (xa == xb) != (ya == yb)
                    if xa == xb:
                        crossed[min(ya, yb) - y0 : max(ya, yb) - y0, xa - x0] ^= True
            inside = np.logical_xor.accumulate(crossed, axis=1)[:, :-1]
            labels[y0:y1, x0:x1][inside] = label
    return labels


@pytest.mark.parametrize("layer", [0, 1])
def test_outlines_are_the_masks(sample, layer):
    name = sample.facts["cells"]["layers"][layer]
    with LabelReader(sample.masks[name]) as mask:
        np.testing.assert_array_equal(drawn(sample, layer), mask.read(0, HEIGHT))


def columns_of(sample):
    """Return the values of each column by id, as the page makes them of its packs."""
    facts = sample.facts["cells"]
    ids = [integers(sample.pack(f"cells/{block}")[0]) for block in range(len(facts["blocks"]))]
    packs = {
        (block, group): sample.pack(f"cells/{block}-{group}")
        for block in range(len(ids))
        for group in range(4)
    }
    found = {}
    for column in facts["columns"]:
        if "of" in column:
            values = {
                label: value * column["factor"] for label, value in found[column["of"]].items()
            }
            found[column["name"]] = values
            continue
        values = found[column["name"]] = {}
        for block, labels in enumerate(ids):
            codes = integers(packs[block, column["group"]][column["place"]])
            for label, code in zip(labels.tolist(), codes.tolist(), strict=True):
                if code:
                    values[label] = value_of(column, code)
    return found


def value_of(column, code):
    match column["kind"]:
        case "flag":
            return code == 2
        case "text":
            return column["texts"][code - 1]
        case "whole":
            return column["low"] + code - 1
    share = (code - 1) / 65534
    return column["low"] + (share**2 if column["root"] else share) * column["span"]


def test_rows_are_the_table(sample):
    rows, found = sample.rows(), columns_of(sample)
    assert [*found] == [name for name in rows if name != "cell_id"]
    known = {column["name"]: column for column in sample.facts["cells"]["columns"]}
    for name, values in found.items():
        given = rows[name].dropna()
        assert sorted(values) == sorted(given.index), name
        there = given.reindex(list(values))
        if known[name].get("kind", "number") == "number":
            step = np.ptp(there.astype(float)) / 65534 + 1e-5
            np.testing.assert_allclose([*values.values()], there.astype(float), atol=step)
        else:
            assert [*values.values()] == there.tolist(), name
    assert {column["kind"] for column in known.values() if "kind" in column} == {
        *("flag", "text", "whole", "number")
    }


def test_patches_and_regions_are_where_they_are(sample):
    facts = sample.facts
    assert facts["patches"] == [
        [0, 0, WIDTH, 700, ["out_of_focus", "saturated"]],
        [0, 700, WIDTH, 400, ["no_signal"]],
    ]
    (region,) = facts["regions"]
    assert region["name"] == HOSTILE
    assert [len(ring) for ring in region["rings"]] == [8, 8]
    assert region["rings"][0][:4] == [100, 100, 600, 100]


def test_a_slide_of_nuclei_alone(tmp_path):
    sample = written(tmp_path, np.uint8, spec="DAPI", both=False)
    assert sample.facts["cells"]["layers"] == ["nucleus"]
    with LabelReader(sample.masks["nucleus"]) as mask:
        np.testing.assert_array_equal(drawn(sample, 0), mask.read(0, HEIGHT))
    assert [*columns_of(sample)] == [name for name in sample.rows() if name != "cell_id"]


def test_a_slide_without_cells(tmp_path):
    sample = written(tmp_path, np.uint8, spec="DAPI", empty=True)
    facts = sample.facts["cells"]
    assert facts["blocks"] == [] and facts["layers"] == ["cell", "nucleus"]
    with Page(sample.viewer / "index.html", tmp_path / "profile", 600, 500) as page:
        page.wait("document.getElementById('about').textContent.endsWith(' 0 cells')")
        at(page, "#300,300,0.9;cell=3;by=cell_area_px")
        page.wait("document.getElementById('chosen').textContent === 'No cell 3 here'")
        assert page.complaints == []


@pytest.mark.parametrize("side", [2000, 20160, 60000])
@pytest.mark.parametrize("n_channels", [1, 8, 40])
def test_a_slide_is_few_files(side, n_channels):
    a_side = channel_tiles.tiles_a_side((side, side), n_channels)
    n_packs, length = 0, side
    while True:
        n_packs += n_channels * (-(-length // (a_side * TILE))) ** 2
        if length <= TILE:
            break
        length = -(-length // 2)
    assert n_packs <= channel_tiles.MAX_PACKS


def test_masks_of_another_run_are_refused(sample, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    cells, nuclei = disks(np.random.default_rng(3))
    masks, _ = repaired(other, np.where(cells > 9, cells, 0), nuclei, MPP, "one")
    with (
        pytest.raises(DataError, match="its cells are not those of the masks"),
        cell_table.open_cells(sample.table, masks) as cells,
        open_picture([sample.slide], sample.table, cells.facts, "DAPI") as picture,
    ):
        exports.export(cells, ["viewer"], tmp_path, 1, picture)
    assert not (tmp_path / "viewer").exists()


def test_the_script_needs_the_slide(sample, repo, monkeypatch, capsys):
    given = ["--tables", sample.table, "--masks", *sample.masks.values(), "--formats", "viewer"]
    monkeypatch.setattr(sys, "argv", ["export.py", *map(str, given)])
    with pytest.raises(SystemExit):
        runpy.run_path(str(repo / "bin" / "export.py"), run_name="__main__")
    assert "--formats viewer is of one slide" in capsys.readouterr().err


def test_the_library_is_that_of_its_lock(repo):
    """Which has hashes, and the address of no registry."""
    text = (repo / "tools" / "viewer" / "package-lock.json").read_text()
    assert "resolved" not in text and "http" not in text.replace("https://opencollective.com", "")
    locked = json.loads(text)["packages"]["node_modules/openseadragon"]
    assert locked["integrity"].startswith("sha512-")
    page = repo / "bin" / "cellquilt" / "exports" / "viewer" / "page"
    head = (page / "openseadragon.min.js").read_text()[:200]
    assert head.startswith(f"//! openseadragon {locked['version']}\n")
    assert "OpenSeadragon" in (page / "openseadragon.LICENSE.txt").read_text()


@pytest.fixture(scope="module")
def page(sample, tmp_path_factory):
    profile = tmp_path_factory.mktemp("browser")
    with Page(sample.viewer / "index.html", profile, 1000, 700) as page:
        yield page


def at(page, address):
    """Go to a place, and wait until the page shows it."""
    page.run(f"location.hash = {json.dumps(address)}")
    x, y = address.strip("#").split(",")[:2]
    page.wait(f"document.getElementById('where').textContent.startsWith('x {x}, y {y} px')")


def row_of(page):
    """Return the row that is shown, as texts by column."""
    return dict(
        page.run(
            "[...document.querySelectorAll('#row tr')].map(row => [...row.children].map(cell =>"
            " cell.textContent.trim()))"
        )
    )


def middle(page):
    return page.run(
        "(box => [box.x + box.width / 2, box.y + box.height / 2])"
        "(document.querySelector('main').getBoundingClientRect())"
    )


def screen(page, path):
    page.picture(path)
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB")).astype(int)


def test_a_browser_shows_slide_and_cells_from_the_disk(sample, page, tmp_path):
    at(page, "#300,300,0.9")
    page.wait("document.getElementById('about').textContent.includes('cells')")
    for _ in range(100):
        shown = screen(page, tmp_path / "page.png")[50:650, 50:600]
        yellow = (shown[..., 0] > 200) & (shown[..., 1] > 180) & (shown[..., 2] < 120)
        if shown.std() > 20 and yellow.mean() > 0.01:
            break
    assert shown.std() > 20
    assert yellow.mean() > 0.01  # outlines
    assert all(url.startswith(("file://", "data:")) for url in page.requests)
    assert page.complaints == []


def test_hostile_names_are_text(page):
    page.run("document.getElementById('show-patches').click()")
    assert page.run("document.getElementById('show-regions').checked")
    assert page.run("document.querySelectorAll('img, aside script').length") == 0
    said = page.run("document.querySelector('aside').textContent")
    assert HOSTILE in said and "<img src=x onerror=alert(1)>.ome.tif" in said
    assert page.complaints == []


def test_a_click_on_a_cell_gives_its_row(sample, page):
    rows = sample.rows()
    with LabelReader(sample.masks["cell"]) as mask:
        labels = mask.read(0, HEIGHT)
    rng = np.random.default_rng(5)
    x, y = middle(page)
    for label in rng.choice(rows.index, 12, replace=False).tolist():
        row, column = rng.choice(np.argwhere(labels == label))
        at(page, f"#{column},{row},3")
        # The corner of the pixel is in the middle; a click is on the pixel's own middle
        page.click(x + 1.5, y + 1.5)
        page.wait(f"document.getElementById('chosen').textContent === 'Cell {label}'")
        page.wait("document.querySelectorAll('#row tr').length > 10")
        found = row_of(page)
        assert found["cell_id"] == str(label)
        assert found["cell_area_px"] == str(rows.loc[label, "cell_area_px"])
        assert float(found["cell_mean_DAPI"]) == pytest.approx(
            rows.loc[label, "cell_mean_DAPI"], rel=0.001
        )
        assert f"cell={label}" in page.run("location.hash")
    background = np.argwhere(labels == 0)[0]
    at(page, f"#{background[1]},{background[0]},3")
    page.click(x + 1.5, y + 1.5)
    page.wait("document.getElementById('chosen').textContent === 'No cell chosen'")
    assert page.complaints == []


# viridis, as in page.js
ANCHORS = ["440154", "482878", "3e4989", "31688e", "26828e"]
ANCHORS += ["1f9e89", "35b779", "6ece58", "b5de2b", "fde725"]


def ramp(share):
    step = round(float(np.clip(share, 0, 1)) * 63) / 63 * 9
    parts = np.array([[int(a[k : k + 2], 16) for k in (0, 2, 4)] for a in ANCHORS], float)
    return [np.interp(step, range(10), parts[:, k]) for k in range(3)]


@pytest.mark.parametrize(("name", "zoom"), [("cell_area_um2", 6), ("cell_mean_DAPI", 6)])
def test_cells_have_the_colour_of_their_measure(sample, page, tmp_path, name, zoom):
    rows = sample.rows()
    page.run(
        "document.querySelectorAll('#layers input[type=checkbox]:checked').forEach(c => c.click())"
    )
    page.run("document.getElementById('opacity').value = 100")
    page.run("document.getElementById('opacity').oninput()")
    low, high = np.percentile(rows[name].astype(float), (1, 99))
    with LabelReader(sample.masks["cell"]) as mask:
        labels = mask.read(0, HEIGHT)
    x, y = middle(page)
    for label in rows.index[:: len(rows) // 6].tolist():
        row, column = np.argwhere(labels == label)[len(np.argwhere(labels == label)) // 2]
        at(page, f"#{column},{row},{zoom};by={name}")
        expected = np.array(ramp((rows.loc[label, name] - low) / (high - low)))
        for _ in range(60):
            shown = screen(page, tmp_path / "page.png")[int(y) + 3, int(x) + 3]
            if np.abs(shown - expected).max() <= 8:
                break
        # A neighbouring step of the ramp is as good: values are kept in 65,534 steps
        assert np.abs(shown - expected).max() <= 8, (label, shown, expected)
    assert page.complaints == []


def test_flags_and_kinds_are_listed(page):
    page.run("location.hash = '#200,200,2;by=flag_edge'")
    page.wait("document.getElementById('by').value === 'flag_edge'")
    legend = page.run("[...document.querySelectorAll('#legend li')].map(li => li.textContent)")
    assert legend == ["false", "true"]
    page.run("location.hash = '#200,200,2;by=status'")
    page.wait("document.getElementById('by').value === 'status'")
    legend = page.run("[...document.querySelectorAll('#legend li')].map(li => li.textContent)")
    assert legend == ["matched"]


def test_axe_finds_nothing_grave(sample, page, tmp_path):
    at(page, f"#300,300,0.9;cell={sample.rows().index[3]};by=cell_area_um2")
    page.wait("document.querySelectorAll('#row tr').length > 10")
    page.run("document.querySelector('details').open = true")
    assert axe.grave(page, tmp_path) == []
    page.run("location.hash = '#300,300,0.9;by=status'")
    page.wait("document.querySelectorAll('#legend li').length === 1")
    page.resize(480, 800)
    assert axe.grave(page, tmp_path) == []
    page.resize(1000, 700)
    page.run("document.querySelector('details').open = false")
    assert page.complaints == []


def test_by_keyboard_and_on_a_narrow_screen(sample, page):
    rows = sample.rows()
    label = int(rows.index[40])
    page.resize(480, 800)
    assert page.run("document.documentElement.scrollWidth") <= 480
    # Go to a cell by its number, with Enter
    page.run("document.getElementById('id').focus()")
    page.run(f"document.getElementById('id').value = '{label}'")
    page.press("Enter", 13, "\r")
    page.wait(f"document.getElementById('chosen').textContent === 'Cell {label}'")
    # On the slide: move away with an arrow, zoom out, and choose what is in the middle
    page.run("document.querySelector('.openseadragon-canvas').focus()")
    before = page.run("document.getElementById('where').textContent")
    page.press("ArrowRight", 39)
    page.wait(f"document.getElementById('where').textContent !== {json.dumps(before)}")
    page.run(
        f"location.hash = '#{rows['cell_centroid_x_px'].iloc[7] + 0.5},"
        f"{rows['cell_centroid_y_px'].iloc[7] + 0.5},5'"
    )
    page.wait("document.getElementById('where').textContent.endsWith('zoom 5.00')")
    page.press("Enter", 13, "\r")
    page.wait(f"document.getElementById('chosen').textContent === 'Cell {rows.index[7]}'")
    # All controls are reached by Tab, and have a name
    nameless = page.run(
        "[...document.querySelectorAll('input, select, button')].filter(e => !(e.ariaLabel ||"
        " e.labels?.length || e.textContent.trim())).map(e => e.outerHTML)"
    )
    assert nameless == []
    page.resize(1000, 700)
    assert page.complaints == []
