"""What a faster, less exact way to compute the network may change before it is refused."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SlideError

if TYPE_CHECKING:
    from .tile_network import TileNetwork

log = logging.getLogger("cellquilt")

CHECKED_TILES = 8
# bfloat16 differs by up to 0.06 on the tiles of the CODEX tile; a wrong result by much more
MAX_MAP_DIFFERENCE = 0.1


def map_difference(
    network: "TileNetwork", tiles: Iterable[np.ndarray], limit: float
) -> float | None:
    """Compare a network's maps with those that it gives in float32.

    Parameters
    ----------
    network : TileNetwork
    tiles : iterable of (256, 256, 2) ndarray of float32
        On which to compare; not read where the network is in float32 anyway.
    limit : float
        Largest difference that is accepted, in the maps' own unit (0 to 1).

    Returns
    -------
    float or None
        The largest difference of any pixel; None where there is nothing to compare.

    Raises
    ------
    SlideError
        If the difference is over the limit, or not a number.
    """
    if network.mode.exact:
        return None
    tiles = list(tiles)
    pairs = zip(network.run(tiles), network.exact().run(tiles), strict=True)
    found = max((float(np.abs(ours - exact).max()) for ours, exact in pairs), default=0.0)
    asked = f"--precision {network.mode.precision}{' --xla' if network.mode.xla else ''}"
    log.info("segment: %s changes the maps by up to %.2g on %d tiles", asked, found, len(tiles))
    if not found <= limit:
        raise SlideError(
            f"{asked} changes the maps of this slide by up to {found:.2g}, more than "
            f"{limit:g} allow. Leave it out, or raise --max_map_difference."
        )
    return found
