"""A picture of a sample: the slide, and the outlines of cells and nuclei in a few crops of it.

Laid out in pixels.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..compartments import PLURALS
from .crops import Crop
from .slide_view import (
    LINE_COLOURS,
    SIGNAL_COLOURS,
    SlideView,
    crop_signal,
    in_colours,
    scale_bar,
    thumbnail,
)
from .summary import headlines, shortened

THUMBNAIL_PX = (1056, 1120)
MAX_ENLARGEMENT = 4
CROP_PX = (400, 520)
MIN_LEFT_PX = 520
EDGE, GAP, HEADER, FOOTER = 24, 16, 86, 56

PAPER, INK, FAINT = "#0b0d12", "#f2f4f8", "#9aa3b2"
PANE_OPACITY, PANE_PX = 0.75, 4
# Outlines are drawn so many times as large and averaged down, so that they have no steps.
FINER, LINE_PX = 4, 5
BICUBIC = Image.Resampling.BICUBIC


def draw_overlay(path: Path, view: SlideView, summary: dict) -> None:
    """Draw the slide, the outlines of its masks in two crops, and its counts.

    Equal input gives an equal file. Without cells there is the slide alone.

    Parameters
    ----------
    path : Path
        PNG to write.
    view : SlideView
        What is in an original mask only is drawn as unmatched.
    summary : dict
        From `summary.summarise`.
    """
    height, width = view.codes.shape[1:]
    scale = min(THUMBNAIL_PX[0] / height, THUMBNAIL_PX[1] / width, MAX_ENLARGEMENT)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    page = _Page(*size, len(view.crops))
    slide = in_colours(thumbnail(view.codes, view.lut, size[::-1])).resize(size, BICUBIC)
    pixel = view.extent[1] / size[0]
    letters = dict(zip("AB", view.crops, strict=False))
    for crop in letters.values():
        _frame(slide, *np.rint(np.array([crop.x, crop.y, crop.side]) / pixel).astype(int).tolist())
    page.show(slide, page.slide, pixel)
    objects = PLURALS[view.compartment]
    if not view.crops:
        page.announce(f"no {objects} found")
    for (letter, crop), corner in zip(letters.items(), page.crops, strict=True):
        page.mark(letter, crop, pixel, size[0])
        page.show(_picture(view, crop, page.side), corner, crop.side / page.side)
        what = view.compartment if crop.n_objects == 1 else objects
        page.caption(corner, f"{letter}   {crop.title}, {crop.n_objects:,} {what}")
    page.header(*headlines(summary, view.facts))
    kinds = set().union(*(view.lines[crop.square] for crop in view.crops))
    page.legend(view.facts, [kind for kind in LINE_COLOURS if kind in kinds])
    # The filter that gives the smallest files of such pictures; to try all takes twice the time.
    path.write_bytes(
        imagecodecs.png_encode(np.asarray(page.image), level=3, filter=imagecodecs.PNG.FILTER.PAETH)
    )


def _picture(view: SlideView, crop: Crop, side: int) -> Image.Image:
    """Return a crop's signal, `side` pixels wide, with the outlines."""
    signal, (left, right, bottom, top) = crop_signal(view.codes, view.lut, crop, view.extent)
    picture = in_colours(signal)
    wide, high = picture.width / (right - left), picture.height / (bottom - top)
    # Of the pixels that the crop touches, what lies in it, but for rounding.
    box = (
        max((crop.x - left) * wide, 0),
        max((crop.y - top) * high, 0),
        min((crop.x + crop.side - left) * wide, picture.width),
        min((crop.y + crop.side - top) * high, picture.height),
    )
    picture = picture.resize((side, side), BICUBIC, box)
    scale = FINER * side / crop.side
    lines = view.lines[crop.square]
    for kind, colour in LINE_COLOURS.items():
        finer = Image.new("L", (FINER * side, FINER * side))
        drawing = ImageDraw.Draw(finer)
        for line in lines.get(kind, []):
            points = (line - (crop.x, crop.y)) * scale - 0.5
            drawing.line(points.ravel().tolist(), fill=255, width=LINE_PX)
        picture.paste(colour, mask=finer.reduce(FINER))
    return picture


def _frame(slide: Image.Image, x: int, y: int, side: int) -> None:
    """Draw where in the slide a crop is."""
    drawing = ImageDraw.Draw(slide)
    for width, colour in ((4, PAPER), (2, INK)):
        outer = width // 2
        box = x - outer, y - outer, x + side + outer - 1, y + side + outer - 1
        drawing.rectangle(box, outline=colour, width=width)


class _Page:
    """A page with the slide on the left and the crops on the right."""

    def __init__(self, width: int, height: int, n_crops: int):
        left = max(width, MIN_LEFT_PX)
        gaps = GAP * max(n_crops - 1, 0)
        self.side = int(np.clip((height - gaps) / max(n_crops, 1), *CROP_PX))
        column = n_crops * self.side + gaps
        inner = max(height, column)
        full = EDGE + left + (GAP + self.side if n_crops else 0) + EDGE, HEADER + inner + FOOTER
        self.image = Image.new("RGB", full, PAPER)
        self.drawing = ImageDraw.Draw(self.image)
        self.slide = EDGE + (left - width) // 2, HEADER + (inner - height) // 2
        x, y = EDGE + left + GAP, HEADER + (inner - column) // 2
        self.crops = [(x, y + k * (self.side + GAP)) for k in range(n_crops)]

    def text(
        self,
        at: tuple[float, float],
        text: str,
        size: int,
        anchor: str,
        colour: str = INK,
        *,
        bold: bool = False,
        pane: bool = False,
        **stroke: float | str,
    ) -> int:
        """Write a line of text, anchored as PIL does; return where it ends."""
        # A name may have a line break.
        given = {"text": text.replace("\n", " "), "font": _font(size, bold), "anchor": anchor}
        left, top, right, bottom = self.drawing.textbbox(at, **given)
        if pane:
            self.pane((left - PANE_PX, top - PANE_PX, right + PANE_PX, bottom + PANE_PX))
        self.drawing.text(at, fill=colour, **given, **stroke)
        return right

    def pane(self, box: tuple[float, float, float, float]) -> None:
        """Darken a box, for what is written on it."""
        box = tuple(map(round, box))
        behind = self.image.crop(box)
        paper = Image.new("RGB", behind.size, PAPER)
        self.image.paste(Image.blend(behind, paper, PANE_OPACITY), box)

    def show(self, picture: Image.Image, corner: tuple[int, int], pixel: float) -> None:
        """Draw a picture whose pixels are `pixel` um wide, with a border and a scale bar."""
        (x, y), (width, height) = corner, picture.size
        self.image.paste(picture, corner)
        self.drawing.rectangle((x - 1, y - 1, x + width, y + height), outline=FAINT)
        length, label = scale_bar(width * pixel)
        bar, size, pad = round(length / pixel), 14, 6
        wide = max(bar, round(_font(size).getlength(label)))
        right, bottom = x + width - 7, y + height - 7
        self.pane((right - wide - 2 * pad, bottom - 36, right, bottom))
        middle, bottom = right - pad - wide / 2, bottom - pad
        self.drawing.rectangle(
            (round(middle - bar / 2), bottom - 3, round(middle + bar / 2) - 1, bottom - 1), INK
        )
        self.text((middle, bottom - 11), label, size, "ms")

    def mark(self, letter: str, crop: Crop, pixel: float, width: int) -> None:
        """Write a letter beside a crop's frame in the slide, which is `width` pixels wide."""
        x, y = self.slide
        left, right, top = (n / pixel for n in (crop.x, crop.x + crop.side, crop.y))
        at, anchor = (right + 5, "la") if right < 0.95 * width else (left - 5, "ra")
        stroke = {"stroke_width": 2, "stroke_fill": PAPER}
        self.text((x + at, y + top - 3), letter, 17, anchor, bold=True, **stroke)

    def announce(self, text: str) -> None:
        """Write in the middle of the slide, and say what the picture behind it is."""
        x, y = self.image.width / 2, HEADER + (self.image.height - HEADER - FOOTER) / 2
        self.text((x, y), text, 28, "md", pane=True)
        self.text((x, y + 16), "signal as normalised for the network", 14, "ma", pane=True)

    def caption(self, corner: tuple[int, int], text: str) -> None:
        """Write in the upper left corner of a crop."""
        x, y = corner
        self.text((x + 8, y + 5), text, 15, "la", pane=True)

    def header(self, title: str, size: str, counts: str) -> None:
        self.text((EDGE, 36), title, 25, "ls", bold=True)
        self.text((self.image.width - EDGE, 36), size, 15, "rs", FAINT)
        self.text((EDGE, 66), counts, 16, "ls")

    def legend(self, facts: dict, kinds: list[str]) -> None:
        """Say what the colours of the signal and of the outlines are."""
        channels = {
            role: " + ".join(channel["name"] for channel in facts[role])
            for role in ("nuclear", "membrane")
        }
        entries = [
            (
                tuple(round(255 * part) for part in SIGNAL_COLOURS[role]),
                10,
                f"{role}: {shortened(name, 28)}",
            )
            for role, name in channels.items()
            if name
        ]
        entries += [(LINE_COLOURS[kind], 3, kind) for kind in kinds]
        x, y = EDGE, self.image.height - FOOTER // 2
        for colour, height, label in entries:
            top = y - height // 2
            self.drawing.rectangle((x, top, x + 19, top + height - 1), colour)
            x = self.text((x + 31, y), label, 14, "lm") + 25


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu, which has Greek letters, from matplotlib's files, without its import."""
    (package,) = find_spec("matplotlib").submodule_search_locations
    name = f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    path = Path(package) / "mpl-data" / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
