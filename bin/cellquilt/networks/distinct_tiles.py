"""Running each kind of constant tile once: of bare glass, most tiles are the same."""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from .tile_network import TileNetwork

type Codes = tuple[int, int]  # of a constant tile, nuclear first


def run_distinct(
    tiles: Iterable[tuple[Codes | None, np.ndarray]],
    network: TileNetwork,
    known: dict[Codes, np.ndarray],
    batch_size: int | None = None,
) -> Iterator[np.ndarray]:
    """Yield the maps of each tile, in order, running each kind of constant tile once.

    Parameters
    ----------
    tiles : iterable of (codes or None, (h, w, c) ndarray of float32)
        Tiles, with the codes of those that are constant.
    network : TileNetwork
        A tile's maps do not depend on its batch, so those of an equal tile are the same.
    known : dict
        Maps of constant tiles that were computed before; grows.
    batch_size : int, optional
        As in `TileNetwork.run`.

    Yields
    ------
    (h, w, n) ndarray of float32
    """
    order: deque[tuple[Codes | None, bool]] = deque()  # of what was read and not yet given back
    seen = set(known)

    def distinct() -> Iterator[np.ndarray]:
        for codes, pixels in tiles:
            order.append((codes, codes in seen))
            if codes not in seen:
                if codes is not None:
                    seen.add(codes)
                yield pixels

    def repeated() -> Iterator[np.ndarray]:
        while order and order[0][1]:
            yield known[order.popleft()[0]]

    for output in network.run(distinct(), batch_size):
        yield from repeated()
        codes, _ = order.popleft()
        if codes is not None:
            known[codes] = output
        yield output
    yield from repeated()
