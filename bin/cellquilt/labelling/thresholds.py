"""The parameters of the watershed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Parameters of the watershed of one compartment.

    Attributes
    ----------
    maxima_threshold : float
        Height by which a peak of the maxima map must stand out (h of the h-maxima).
    interior_threshold : float
        Smallest value of the smoothed interior map inside a cell.
    interior_smooth : float
        Sigma of the gaussian on the interior map, in pixels.
    small_objects_threshold : int
        Cells of fewer pixels are removed.
    fill_holes_threshold : int
        Holes of fewer pixels are filled.
    radius : int
        Radius of the disk in which peaks are sought, in pixels.
    median : int
        Side of the median filter on the class probabilities of a pixel classifier, in pixels, odd;
        1 for none. Mesmer's maps are not filtered.
    """

    maxima_threshold: float
    interior_threshold: float
    interior_smooth: float
    small_objects_threshold: int
    fill_holes_threshold: int
    radius: int
    median: int = 1
