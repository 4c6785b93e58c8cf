"""Packs of the viewer: data as scripts, which is all that a page opened from a disk may load.

A pack is a script that hands texts to the page. Each text is base64 of bytes compressed by
deflate, without a header, which browsers undo themselves. `page/packs.js` reads them.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SIGNED, SUMS = 16, 32  # what the first byte of integers says beside the number of their planes


def of_pixels(codes: np.ndarray) -> str:
    """Return (rows, columns) uint8, each row as the difference to the one above.

    Against lossless WebP, which takes fifty times as long, this is 2 to 17 % larger.
    """
    above = np.zeros_like(codes)
    above[1:] = codes[:-1]
    return _text((codes - above).tobytes(), zlib.Z_RLE, level=1)


def of_integers(values: np.ndarray, *, signed: bool = False, sums: bool = False) -> str:
    """Return integers, as planes of their bytes, the lowest ones first.

    Parameters
    ----------
    values : (n,) integer
        Of less than 40 bits.
    signed : bool
        Whether there may be negative ones.
    sums : bool
        Whether differences to the one before are kept, which are smaller; of any sign.
    """
    kept = np.asarray(values, np.int64)
    if sums:
        kept = np.diff(kept, prepend=np.int64(0))
    if signed or sums:
        kept = (kept << 1) ^ (kept >> 63)
    n_planes = max(1, -(-int(kept.max(initial=0)).bit_length() // 8))
    planes = kept.astype("<u8").view(np.uint8).reshape(-1, 8).T[:n_planes]
    head = n_planes | (signed or sums) * SIGNED | sums * SUMS
    return _text(bytes([head]) + planes.tobytes(), zlib.Z_DEFAULT_STRATEGY, level=9)


def write(folder: Path, key: str, parts: Sequence[str]) -> None:
    """Write ``<key>.js``, which hands texts to the page under this key."""
    path = folder / f"{key}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"cellquilt.pack({json.dumps(key)},{json.dumps(parts)});\n")


def _text(content: bytes, strategy: int, level: int) -> str:
    packer = zlib.compressobj(level, wbits=-zlib.MAX_WBITS, memLevel=9, strategy=strategy)
    return base64.b64encode(packer.compress(content) + packer.flush()).decode()
