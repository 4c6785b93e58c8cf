"""What the pixels of a channel say of it: constant, saturated, or labels and no image.

They are counted while they are read for something else, so that no pass over the slide is added.
"""

from collections.abc import Sequence

import numpy as np
from skimage.measure import label

from .normalise import Histogram, is_small
from .notice import Notice
from .slide import Channel, Slide, listed

# Of the pixels that are not zero, at the largest value. Real images, uint8 too, have up to 0.01.
_SATURATED = 0.02
_FEWEST_LEVELS = 8  # below, as of sparse counts, the largest value is often reached
# Of the pixels that are not zero, equal to their left neighbour. Labels of nuclei have at least
# 0.85, noise of any camera far less, and smooth dark images of 8 bits up to 0.78 (dsb2018).
_PLATEAUS = 0.8
# Regions of one value to each value: 1.0 in labels, at least 5 in images of 8 bits and in drawings.
_REGIONS_A_VALUE = 1.5
# Or few values in regions that are no noise: a map of classes
_CLASSES, _REGION_PX = 8, 20
_EVERY = 4  # rows that are looked at for plateaus


class ChannelContent:
    """Counts of the pixels of a channel, whose rows come from the top down, some repeatedly."""

    def __init__(self) -> None:
        self._rows = 0  # seen
        self._histogram: Histogram | None = None
        self._low, self._high, self._n_high, self._n_nonzero = np.inf, -np.inf, 0, 0
        self._fractions = False
        self._n_pairs = self._n_equal = 0
        self._densest = 0, (0, 0)  # number of pairs, and the rows of the strip

    def add(self, rows: np.ndarray, y0: int) -> None:
        """Count rows of the slide, (n, width), from row `y0` on; those seen before are left out."""
        new = rows[max(self._rows - y0, 0) :]
        if not new.size:
            return
        y0, self._rows = y0 + len(rows) - len(new), y0 + len(rows)
        self._count(np.ascontiguousarray(new))
        few = new[::_EVERY]
        inside = few[:, 1:] != 0
        n_pairs = int(np.count_nonzero(inside))
        self._n_pairs += n_pairs
        self._n_equal += int(np.count_nonzero(inside & (few[:, 1:] == few[:, :-1])))
        self._densest = max(self._densest, (n_pairs, (y0, self._rows)))

    def _count(self, rows: np.ndarray) -> None:
        if is_small(rows.dtype):
            self._histogram = self._histogram or Histogram(rows.dtype)
            self._histogram.add(rows)
            return
        values = rows[np.isfinite(rows)]
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        if high > self._high:
            self._high, self._n_high = high, 0
        self._low = min(self._low, low)
        self._n_high += int(np.count_nonzero(values == self._high))
        self._n_nonzero += int(np.count_nonzero(values))
        self._fractions |= bool((values[:: 16 * _EVERY] % 1).any())

    def constant(self) -> float | None:
        """Return the value that all pixels have, None where there are several or no pixels."""
        if self._histogram is not None:
            values, _ = self._histogram.levels()
            return float(values[0]) if len(values) == 1 else None
        return self._low if self._low == self._high else None

    def ceiling(self) -> tuple[float, float] | None:
        """Return the largest value and the fraction of the non-zero pixels that have it.

        None where it is not as of a camera or a conversion that cut values off.
        """
        if self._histogram is not None:
            values, counts = self._histogram.levels()
            values, counts = values[values != 0], counts[values != 0]
            if len(values) < _FEWEST_LEVELS or counts[-1] < 3 * counts[-5:-1].max():
                return None
            return float(values[-1]), float(counts[-1] / counts.sum())
        if self._fractions or self._high > 100:
            return self._high, self._n_high / max(self._n_nonzero, 1)
        return None

    def saturated(self) -> tuple[float, float] | None:
        """Return the `ceiling` where so many pixels have it that outlines and means suffer."""
        found = self.ceiling()
        return found if found and found[1] >= _SATURATED else None

    def mask(self, slide: Slide, channel: Channel) -> Notice | None:
        """Return what a channel is instead of an image, None of an image.

        Where neighbours are equal as in labels, the strip with most of them is read once more.
        """
        if self._n_equal < _PLATEAUS * max(self._n_pairs, 1) or self.constant() is not None:
            return None
        values, ranks = np.unique(slide.read(channel.index, *self._densest[1]), return_inverse=True)
        ranks = ranks.reshape(-1, slide.width) + (values[0] != 0)
        n_values = int(np.count_nonzero(values))
        if n_values == 1:
            return Notice("binary_image", "has two values alone, as a mask does")
        n_regions = int(label(ranks, background=0, connectivity=2).max())
        region = np.count_nonzero(ranks) / max(n_regions, 1)
        few = n_values <= _CLASSES and region >= _REGION_PX
        if n_regions <= _REGIONS_A_VALUE * n_values or few:
            text = f"has regions of one value each ({n_values} values), as a label image does"
            return Notice("label_image", text)
        return None


def notices_of(
    content: ChannelContent, slide: Slide, channel: Channel, role: str, blank: bool
) -> list[Notice]:
    """Return what a person should know of a channel that is segmented.

    Parameters
    ----------
    content : ChannelContent
        Of all of its rows.
    role : {'nuclear', 'membrane'}
    blank : bool
        Whether normalisation leaves nothing of it.
    """
    named = f"{slide.path.name}: {role} channel {channel.index} ('{channel.name:.99}')"
    value = content.constant()
    if value is not None or blank:
        stated = f"is {value:g} in every pixel" if value is not None else "is blank but for specks"
        text = f"{named} {stated}, so that it shows no cells; check --{role} and the export."
        return [Notice("constant_channel", text)]
    if mask := content.mask(slide, channel):
        text = f"{named} {mask.text}, and is segmented as an image; give the image it was made of."
        return [Notice(mask.code, text)]
    if saturated := content.saturated():
        high, share = saturated
        text = f"{named} is saturated: {share:.1%} of its non-zero pixels have the largest value,"
        text += f" {high:g}; outlines there may be wrong. Check exposure and conversion."
        return [Notice("saturated_channel", text)]
    return []


def notices_of_others(
    contents: Sequence[tuple[Channel, ChannelContent]], file: str
) -> list[Notice]:
    """Return what a person should know of channels that are measured only; one notice a kind."""
    kinds = {
        "constant_channel": (ChannelContent.constant, "the same value in all pixels"),
        "saturated_channel": (ChannelContent.saturated, "many pixels at their largest value"),
    }
    notices = []
    for code, (check, what) in kinds.items():
        found = [
            f"{channel.index} ('{channel.name:.99}')"
            for channel, content in contents
            if check(content) is not None
        ]
        if found:
            text = f"{file}: channels with {what}: {listed(found)} ({len(found)} in all);"
            notices.append(Notice(code, f"{text} do not rely on their means."))
    return notices
