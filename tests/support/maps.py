"""Maps as a network could give them, for tests of what is made of them."""

import numpy as np
from scipy import ndimage as ndi


def crowded_maps(
    seed: int, shape: tuple[int, int] = (420, 460), levels: int | None = None
) -> np.ndarray:
    """Return maps of crowded cells, (2, H, W) float32; plateaus and ties with few `levels`."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(3, *shape))
    cells, tears = (ndi.gaussian_filter(noise[i], sigma) for i, sigma in ((0, 2.2), (1, 5)))
    maxima = np.clip(0.3 + 0.4 * cells / cells.std(), 0, None)
    interior = 0.5 + 0.12 * cells / cells.std() + 0.2 * tears / tears.std()
    interior += 0.02 * noise[2]
    maps = np.stack([maxima, np.clip(interior, 0, 1)])
    if levels:
        maps = np.round(maps * levels) / levels
    return maps.astype(np.float32)
