"""The table of a check, and its text on a terminal."""

import csv
import io

import numpy as np
import pytest
import shapely

from cellquilt.planning import tables
from cellquilt.planning.figures import read_figures
from cellquilt.planning.inspection import Inspection
from cellquilt.planning.plan import Settings, plan_run
from cellquilt.slides.notice import Notice
from cellquilt.tiling.regions import Regions

NOTE = Notice("no_membrane_channel", "x.tif: no membrane channel is given: nuclei alone.")


def good(sample, height=500, notices=(), **more):
    facts = {"width": 700, "dtype": "uint16", "channels": ("DAPI", "CD45", "PanCK")}
    facts |= {"nuclear": ("DAPI",), "membrane": ("CD45", "PanCK"), "image_mpp": 0.5}
    facts |= {"image_mpp_source": "ome-xml", "z": 0, "t": 0, "image": f"{sample}.tif", "files": 1}
    return Inspection(sample, height=height, notices=list(notices), **facts | more)


def bad(sample, *problems):
    return Inspection(sample, image=f"{sample}.tif", problems=list(problems))


def rendered(*found):
    plans = plan_run([one.work("both", "b") for one in found if one.status == "ok"], Settings(),
                     read_figures())  # fmt: skip
    left = iter(plans)
    plans = [next(left) if one.status == "ok" else None for one in found]
    text = tables.render_text(found, plans, read_figures())
    assert max(map(len, text.splitlines())) <= tables.WIDTH
    rows = list(csv.DictReader(io.StringIO(tables.render_csv(found, plans))))
    assert [row["sample"] for row in rows] == [one.sample for one in found]
    return text, rows


def test_slides_of_one_layout_are_a_line():
    text, _ = rendered(*[good(f"s{k}") for k in range(200)], good("wide", 900), good("z", z=3))
    lines = text.splitlines()
    assert lines[0] == "202 slides: 202 can be segmented"
    assert lines[2].split()[:2] == ["slides", "pixels"]
    assert lines[3].startswith("s0 and 199 more  700 x 500  uint16  3         DAPI")
    assert lines[4].startswith("wide ") and lines[5].startswith("z ") and "z 3" in lines[5]
    assert len(lines) < 20 and "Cannot" not in text


def test_channels_are_listed_to_choose_from_unless_there_are_many_panels():
    first, second = good("a"), good("b", channels=("DNA", "CD3"))
    text, _ = rendered(first, good("c"))
    assert "\nChannels: 0: DAPI, 1: CD45, 2: PanCK\n" in text and "1 patch," not in text
    text, _ = rendered(first, second, good("c"))
    assert "\nChannels of a and 1 more: 0: DAPI, 1: CD45, 2: PanCK\n" in text
    assert "\nChannels of b: 0: DNA, 1: CD3\n" in text
    text, _ = rendered(*[good(f"s{k}", channels=(f"DNA{k}",)) for k in range(4)])
    assert "Channels" not in text


def test_regions_are_named_and_the_plan_says_that_it_counts_them():
    areas = np.array([shapely.box(0, 0, 90, 90), shapely.box(100, 0, 190, 90)])
    text, (row, other) = rendered(good("a", regions=Regions(("A1", "A2"), areas)), good("b"))
    assert (row["roi"], other["roi"]) == ("A1; A2", "")
    assert "everywhere, in slides with regions of interest in these; by" in " ".join(text.split())


def test_of_many_layouts_there_is_a_total():
    text, _ = rendered(*[good(f"s{k}", 500 + k) for k in range(30)], bad("torn", "torn.tif: cut"))
    assert "30 sizes and kinds: 0.35 to 0.37 million pixels, 3 to 3 channels" in text
    assert "s3 " not in text and "  torn: torn.tif: cut\n" in text


def test_problems_notices_and_what_was_not_looked_at():
    found = [
        bad("one", "one.tif: first", "one.tif: second"),
        bad("sheet.csv, row 3", "sheet.csv, row 3: no name"),
        *[good(f"n{k}", notices=[NOTE]) for k in range(5)],
        Inspection("far", unseen="is at s3://"),
    ]
    text, rows = rendered(*found)
    assert text.startswith("8 slides: 5 can be segmented, 2 cannot, 1 not looked at\n")
    assert "\nCannot be segmented\n  one: one.tif: first\n  one: one.tif: second\n" in text
    assert "\n  sheet.csv, row 3: no name\n" in text
    assert "\nNot looked at\n  far: is at s3://\n" in text
    assert "\nTo be known\n  n0, n1, n2 and 2 more: for example x.tif: no membrane" in text
    assert [row["status"] for row in rows] == [*["refused"] * 2, *["ok"] * 5, "not looked at"]
    assert rows[0]["problems"] == "one.tif: first; one.tif: second"
    assert rows[2]["notices"] == NOTE.text and rows[7]["problems"] == "is at s3://"
    assert rows[2]["channels"] == "DAPI; CD45; PanCK"
    assert float(rows[2]["processor_s"]) > 0 and rows[0]["processor_s"] == ""
    assert tables.refusal(found) == "2 of 8 slides cannot be segmented"
    assert tables.refusal(found[2:]) == ""


def test_a_long_list_ends_where_the_table_goes_on():
    text, _ = rendered(*[bad(f"s{k}", f"s{k}.tif: torn") for k in range(60)])
    assert text.endswith("  and 10 more, in check.csv\n") and "Plan" not in text


def test_long_names_do_not_make_lines_long():
    name = "a" * 150
    text, rows = rendered(good(name, channels=tuple(f"channel {k}" for k in range(99))),
                          bad(name + "b", f"{name}.tif: {'words ' * 60}"))  # fmt: skip
    assert rows[0]["sample"] == name and "…" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (599, "599 s"), (900, "15 min"), (5400, "1.5 h"), (9e6, "2,500.0 h")],
)
def test_times_are_of_a_readable_size(seconds, text):
    assert tables.hours(seconds) == text
