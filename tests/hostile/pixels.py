"""Valid files with unusable pixels: not finite, constant, none, or too large."""

import numpy as np

from .corpus import case
from .tiff import ingest, ingested, slide

NAME = "slide.ome.tif"
SHAPE = (1, 96, 80)


def finite(n_codes):
    """Return a check that what was ingested is finite and has at least so many codes."""

    def check(folder):
        _, codes, _ = ingested(folder)
        assert np.unique(codes[0]).size >= n_codes

    return check


def empty(folder):
    """Check that what was ingested is nothing but background."""
    _, codes, lut = ingested(folder)
    assert not lut[0][codes[0]].any()


def array(value=0, dtype="uint16", shape=SHAPE):
    return np.full(shape, value, dtype)


def speck(value, around=1, dtype="float32"):
    data = np.random.default_rng(0).random(SHAPE).astype(dtype) * around
    data[0, 40, 30] = value
    return data


def half(low, high, dtype):
    data = array(low, dtype)
    data[0, 20:60, 30:70] = high
    return data


REFUSED = {
    "NaN": speck(np.nan),
    "infinity": speck(np.inf),
    "minus infinity": speck(-np.inf),
    "NaN alone": array(np.nan, "float32"),
    "floats of 10^38": speck(3e38, 1e38),
    "floats from -10^38 to 10^38": half(-3e38, 3e38, "float32"),
    "floats of 10^300": speck(1e300, 1e299, "float64"),
    "floats from -10^308 to 10^308": half(-1e308, 1.7e308, "float64"),
    "NaN in half precision": speck(np.nan, dtype="float16"),
}
SOUND = {
    "all zero": (array(0), empty),
    # On another grid, cutting off decimals makes two values of one, as in deepcell.
    "all one value": (array(1234), finite(1)),
    "saturated": (array(65_535), finite(1)),
    "saturated in halves": (half(0, 65_535, "uint16"), finite(2)),
    "negative integers": (half(-30_000, -5, "int16"), finite(2)),
    "negative floats": (half(-2.5, -0.5, "float32"), finite(2)),
    "minus zero": (array(-0.0, "float32"), empty),
    "floats of 10^36": (speck(3e36, 1e36), finite(2)),
    "floats from -10^36 to 10^36": (half(-3e36, 3e36, "float32"), finite(2)),
    "floats of 10^-40": (speck(3e-40, 1e-40), finite(1)),
    "one pixel of 10^30 among ones": (speck(1e30), finite(1)),
    "all of 32 bits": (half(0, 2**32 - 1, "uint32"), finite(2)),
    "three rows": (np.random.default_rng(0).integers(0, 999, (1, 3, 500), "uint16"), finite(2)),
    "three columns": (np.random.default_rng(0).integers(0, 999, (1, 500, 3), "uint16"), finite(2)),
}


def write(folder, data):
    return slide(folder, data, tile=(16, 16), compression="zlib")


def refused_case(kind, data):
    @case(f"pixels: {kind}", r"replace NaN, infinite pixels and those beyond 1e\+37, for", NAME)
    def _(folder):
        return ingest(folder, write(folder, data))


def sound_case(kind, data, check, mpp):
    @case(f"pixels: {kind}, at {mpp} um/px", check=check)
    def _(folder):
        return ingest(folder, write(folder, data), "--image_mpp", mpp)


for _kind, _data in REFUSED.items():
    refused_case(_kind, _data)
for _kind, (_data, _check) in SOUND.items():
    sound_case(_kind, _data, _check, "0.5")
    sound_case(_kind, _data, _check, "0.37")

for _shape in ((1, 1, 1), (1, 1, 700), (1, 700, 1)):

    @case(f"pixels: {_shape[1]} x {_shape[2]}", "too small to be segmented", NAME)
    def _(folder, shape=_shape):
        return ingest(folder, write(folder, array(7, shape=shape)))


@case("pixels: several membrane channels of infinite range", check=finite(1))
def _(folder):
    data = np.concatenate([half(0, 9, "float32"), speck(3e36, 1e36), half(-3e36, 3e36, "float32")])
    return ingest(folder, write(folder, data), "--membrane", "1;2", "--membrane_combine", "mean")


for _mpp in ("nan", "inf", "-0.5", "0", "1e-300"):

    @case(f"a pixel size of {_mpp}", "absurd", NAME)
    def _(folder, mpp=_mpp):
        return ingest(folder, write(folder, half(0, 9, "uint16")), f"--image_mpp={mpp}")
