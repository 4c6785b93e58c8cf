"""Where to look into a sample's masks: squares of the slide, chosen from the table of cells."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..compartments import PLURALS

CROP_UM = 100.0
CLOSE_UP_UM = 32.0

Square = tuple[float, float, float]  # y, x and side


@dataclass(frozen=True)
class Crop:
    """A square of a slide: what it shows, its upper left corner and side in um, its objects."""

    title: str
    y: float
    x: float
    side: float
    n_objects: int

    @property
    def square(self) -> Square:
        """Where it is: crops of one square differ in their titles alone."""
        return self.y, self.x, self.side


def centres(rows: pd.DataFrame, compartment: str, image_mpp: float) -> np.ndarray:
    """Return where a compartment's objects lie, (rows, 2) y and x in um; NaN where there is none.

    They count from the slide's corner, the table's centroids from the centre of its first pixel.
    """
    columns = [f"{compartment}_centroid_{axis}_um" for axis in "yx"]
    if columns[0] not in rows:
        return np.full((len(rows), 2), np.nan)
    return rows[columns].to_numpy(np.float64, na_value=np.nan) + image_mpp / 2


def shown(rows: pd.DataFrame, image_mpp: float) -> tuple[str, np.ndarray]:
    """Return cells or, where there are none, nuclei: the compartment and its objects' centres."""
    measured = [name for name in PLURALS if f"{name}_centroid_y_um" in rows]
    for compartment in measured:
        places = centres(rows, compartment, image_mpp)
        places = places[~np.isnan(places[:, 0])]
        if len(places):
            return compartment, places
    return measured[0], np.empty((0, 2))


class _Grid:
    """Squares of a slide that overlap by half, and reach to its edges."""

    def __init__(self, extent: tuple[float, float], side: float):
        self.extent, self.side = extent, min(side, *extent)
        n_steps = [int(np.ceil(2 * length / self.side - 1e-9)) - 1 for length in extent]
        # The last ones are moved into the slide, and then counted where they are shown.
        starts = [
            np.minimum(np.arange(n) * self.side / 2, length - self.side)
            for n, length in zip(n_steps, extent, strict=True)
        ]
        self.corners = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 2)
        # Start and end of each, in turn, and where they are among the borders of all.
        spans = [np.column_stack([first, first + self.side]).ravel() for first in starts]
        self._edges = [np.append(np.unique(span), np.inf) for span in spans]
        self._spans = [*map(np.searchsorted, self._edges, spans)]

    def sums(self, places: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the number, or the sum of the weights, of the objects in each square."""
        fine = np.histogram2d(*places.T, self._edges, weights=weights)[0]
        rows = np.add.reduceat(fine, self._spans[0], axis=0)[::2]
        return np.add.reduceat(rows, self._spans[1], axis=1)[:, ::2].ravel()

    def crop(self, title: str, corner: np.ndarray, places: np.ndarray) -> Crop:
        inside = ((places >= corner) & (places < corner + self.side)).all(axis=1)
        return Crop(title, *corner.tolist(), self.side, int(inside.sum()))


def choose_crops(
    places: np.ndarray, extent: tuple[float, float], side: float = CROP_UM
) -> list[Crop]:
    """Return the densest square of a slide, and a typical one that does not overlap it.

    Typical is the square whose number of objects is nearest to the median over the squares
    with any; of several, the one nearest to the middle of the slide.

    Parameters
    ----------
    places : (n, 2) ndarray
        y and x of the objects, um.
    extent : (float, float)
        Height and width of the slide, um.
    side : float
        Of the squares, um; cut to the slide's.

    Returns
    -------
    list of Crop
        None without objects; one where there is no room for another.
    """
    if not len(places):
        return []
    grid = _Grid(extent, side)
    counts, corners, side = grid.sums(places), grid.corners, grid.side
    densest = corners[counts.argmax()]
    crops = [grid.crop("whole slide" if extent == (side, side) else "densest", densest, places)]
    apart = (np.abs(corners - densest) >= side).any(axis=1) & (counts > 0)
    if apart.any():
        corners, rest = corners[apart], counts[apart]
        unlike = np.abs(rest - np.median(counts[counts > 0]))
        off_centre = np.hypot(*(corners + side / 2 - np.divide(extent, 2)).T)
        crops.append(grid.crop("typical", corners[np.lexsort((off_centre, unlike))[0]], places))
    return crops


def worst_matched(
    rows: pd.DataFrame, extent: tuple[float, float], image_mpp: float, side: float = CROP_UM
) -> list[Crop]:
    """Return the square in which cells and nuclei agree least.

    A matched cell counts by its mismatch, an object without partner as 1. The square is that of
    the largest mean, among those that hold at least as many objects as the median of the squares
    with any.

    Parameters
    ----------
    rows : DataFrame
        Of the table of cells.
    extent : (float, float)
        Height and width of the slide, um.
    image_mpp : float
        Pixel size in um.
    side : float
        Of the square, um; cut to the slide's.

    Returns
    -------
    list of Crop
        One, or none where a single compartment was segmented or all agrees.
    """
    if "mismatch" not in rows:
        return []
    cell, nucleus = (centres(rows, compartment, image_mpp) for compartment in PLURALS)
    places = np.where(np.isnan(cell), nucleus, cell)
    mismatch = rows["mismatch"].to_numpy(np.float64, na_value=1.0)
    if not mismatch.any():
        return []
    grid = _Grid(extent, side)
    counts = grid.sums(places)
    enough = counts >= np.median(counts[counts > 0])
    means = np.where(enough, grid.sums(places, mismatch) / np.maximum(counts, 1), -1)
    counted = shown(rows, image_mpp)[1]
    return [grid.crop("worst matched", grid.corners[means.argmax()], counted)]


def squares(
    title: str,
    places: np.ndarray,
    weights: np.ndarray,
    extent: tuple[float, float],
    side: float,
    n: int,
) -> list[Crop]:
    """Return the squares of the largest mean weight, which do not overlap.

    Of those that hold at least as many objects as the median of the squares with any.

    Parameters
    ----------
    title : str
    places : (m, 2) ndarray
        y and x of objects, um.
    weights : (m,) ndarray
    extent : (float, float)
        Height and width of the slide, um.
    side : float
        Of the squares, um; cut to the slide's.
    n : int
        How many at most, the first one first.
    """
    if not len(places):
        return []
    grid = _Grid(extent, side)
    counts = grid.sums(places)
    enough = counts >= np.median(counts[counts > 0])
    means = np.where(enough, grid.sums(places, weights) / np.maximum(counts, 1), -1.0)
    chosen: list[Crop] = []
    for index in np.argsort(-means, kind="stable"):
        corner = grid.corners[index]
        apart = all(max(abs(corner - (c.y, c.x))) >= grid.side - 1e-9 for c in chosen)
        if means[index] > 0 and apart:
            chosen.append(grid.crop(title, corner, places))
        if len(chosen) == n or means[index] <= 0:
            break
    return chosen


def close_ups(
    rows: pd.DataFrame, extent: tuple[float, float], image_mpp: float, n: int
) -> list[Crop]:
    """Return squares around the matched cells of the largest mismatch, at most `n`, worst first."""
    if "mismatch" not in rows:
        return []
    worst = rows[rows["mismatch"].notna() & (rows["mismatch"] > 0)]
    worst = worst.sort_values("mismatch", ascending=False, kind="stable").head(n)
    side = min(CLOSE_UP_UM, *extent)
    corners = centres(worst, "cell", image_mpp) - side / 2
    corners = np.clip(corners, 0, np.subtract(extent, side))
    return [
        Crop(f"cell {cell}: {mismatch:.1%}", *corner, side, 1)
        for cell, mismatch, corner in zip(
            worst["cell_id"], worst["mismatch"], corners.tolist(), strict=True
        )
    ]
