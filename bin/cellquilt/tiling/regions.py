"""Regions of interest of a slide, and what lies in them.

An object belongs to a region by its marker: that of the first one, in their order, that the
marker's pixel lies in. Outlines count in pixels of the slide, the first of which spans 0 to 1; a
pixel lies where its centre is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import shapely

from ..errors import DataError, reason
from .box import Box

_NONE = -1


@dataclass(frozen=True)
class Regions:
    """Named areas of a slide, in the order in which they claim what lies in several.

    Attributes
    ----------
    names : tuple of str
    areas : (n,) ndarray of shapely.Geometry
        In pixels of the slide.
    """

    names: tuple[str, ...]
    areas: np.ndarray

    @classmethod
    def of(cls, facts: Mapping) -> Self | None:
        """Return the regions in INGEST's facts of a slide; None where the whole slide is wanted.

        Raises
        ------
        DataError
            If they are damaged.
        """
        given = facts.get("regions")
        if given is None:
            return None
        try:
            names = tuple(str(region["name"]) for region in given)
            areas = shapely.from_wkt([region["outline"] for region in given])
        except (shapely.errors.ShapelyError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{facts.get('sample')}: its regions are damaged ({reason(error)}); give the"
                " sample.json of INGEST."
            ) from error
        shapely.prepare(areas)
        return cls(names, areas)

    def facts(self, mpp: float) -> list[dict]:
        """Return the regions as INGEST's facts have them: name, area (um2) and outline (WKT)."""
        earlier, found = shapely.Polygon(), []
        for name, area in zip(self.names, self.areas, strict=True):
            own = (area - earlier).area * mpp**2
            found.append({"name": name, "um2": round(own, 2), "outline": shapely.to_wkt(area)})
            earlier |= area
        return found

    @property
    def area_px(self) -> float:
        """What they cover together, in pixels of the slide."""
        return float(shapely.union_all(self.areas).area)

    def at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the region of pixels, (n,) int64: an index of `names`, -1 for none.

        Parameters
        ----------
        y, x : (n,) ndarray of int64
            Rows and columns.
        """
        found = np.full(len(y), _NONE)
        order = np.argsort(y, kind="stable")
        rows = y[order]
        for index, area in enumerate(self.areas):
            _, top, _, bottom = area.bounds
            near = order[slice(*np.searchsorted(rows, (top - 1, bottom)))]
            near = near[found[near] == _NONE]
            found[near[shapely.contains_xy(area, x[near] + 0.5, y[near] + 0.5)]] = index
        return found

    def names_at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the name of the region of pixels, (n,) object; empty for none. See `at`."""
        return np.array([*self.names, ""], object)[self.at(y, x)]

    def touch(self, box: Box) -> bool:
        """Return whether a region has a point in a box of the slide."""
        part = shapely.box(box.x0, box.y0, box.x1, box.y1)
        return bool(shapely.intersects(self.areas, part).any())
