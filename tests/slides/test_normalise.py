"""INGEST's normalised slide equals Mesmer's preprocessing of the whole image."""

import numpy as np
import pytest
from support.steps import ingest_image, network_input

from cellquilt.slides import ingest
from cellquilt.slides.normalise import TopValues

HEIGHT, WIDTH = 385, 390


def sparse(image):
    """Return an image of which hardly a pixel is not zero."""
    return np.where(np.random.default_rng(0).random(image.shape) < 0.002, image, 0)


def with_membrane(image, value):
    """Return an image whose second channel has one value everywhere."""
    return np.stack([image[..., 0], np.full_like(image[..., 1], value)], axis=-1)


# name: (pixels from the uint16 tissue, um/px)
CASES = {
    "uint8": (lambda image: (image >> 5).clip(max=255).astype(np.uint8), 0.5),
    "uint16": (lambda image: image, 0.5),
    "uint32": (lambda image: image.astype(np.uint32) * 300_000, 0.5),
    "float32": (lambda image: image.astype(np.float32) * np.float32(0.37), 0.5),
    "float64": (lambda image: image * 0.1234567, 0.5),
    "below zero": (lambda image: image.astype(np.float32) - 500, 0.5),
    "no camera offset": (lambda image: image - image.min((0, 1)), 0.5),
    "larger camera offset": (lambda image: image + np.uint16(3000), 0.5),
    "saturated": (lambda image: np.minimum(image, 400), 0.5),
    "sparse": (sparse, 0.5),
    "constant membrane": (lambda image: with_membrane(image, 700), 0.5),
    "empty membrane": (lambda image: with_membrane(image, 0), 0.5),
    "all zero": (np.zeros_like, 0.5),
    "one constant": (lambda image: np.full_like(image, 5), 0.5),
    "small": (lambda image: image[:77, :130], 0.5),
    "129 rows": (lambda image: image[:129], 0.5),
    "257 rows": (lambda image: image[:257, :259], 0.5),
    "383 rows": (lambda image: image[:383, :129], 0.5),
    "0.37745 um/px": (lambda image: image, 0.37745),
    "0.325 um/px, uint8": (lambda image: (image >> 5).clip(max=255).astype(np.uint8), 0.325),
    "0.65 um/px, float32": (lambda image: image[:200, :230].astype(np.float32), 0.65),
    "1 um/px": (lambda image: image[:150, :120], 1.0),
    "nearly the model's pixel size": (lambda image: image, 0.5004),
}


@pytest.fixture(scope="module")
def tissue(tissue_image):
    return np.ascontiguousarray(tissue_image[-HEIGHT:, :WIDTH])


@pytest.fixture(scope="module")
def tall(tissue_image):
    """An image higher than the 768 rows that a strip has at the least."""
    return np.vstack([tissue_image[:, :300]] * 2)


@pytest.fixture(scope="module")
def dark_edge(tissue_image):
    """An image whose right edge, without tissue, has the darkest value there is."""
    return np.maximum(tissue_image[:300, 450:], 150)


@pytest.fixture(scope="module")
def reference(deepcell, tissue, tall, dark_edge):
    """What mesmer_preprocess makes of every case."""
    cases = {name: {"image": make(tissue), "image_mpp": mpp} for name, (make, mpp) in CASES.items()}
    cases["tall"] = {"image": tall, "image_mpp": 0.5}
    cases["tall, resized"] = {"image": tall, "image_mpp": 0.49}
    cases["nuclear only"] = {"image": with_membrane(dark_edge, 0), "image_mpp": 0.25}
    cases["two membranes"] = {"image": combine(tissue), "image_mpp": 0.5}
    return {name: found["normalised"] for name, found in deepcell("preprocess", cases).items()}


@pytest.mark.parametrize("name", CASES)
def test_normalised_image_is_that_of_mesmer_preprocess(reference, tissue, tmp_path, name):
    make, mpp = CASES[name]
    ours = network_input(ingest_image(tmp_path / "slide", make(tissue), mpp))
    assert ours.dtype == np.float32
    assert np.array_equal(ours, reference[name])


@pytest.mark.parametrize(
    "layout",
    [
        {"byteorder": ">"},
        {"rowsperstrip": 7},
        {"tile": (64, 48), "compression": "zlib"},
        {"tile": (256, 256), "byteorder": ">", "bigtiff": True},
    ],
    ids=["big-endian", "strips", "tiles", "big-endian tiles of a BigTIFF"],
)
def test_layout_of_the_file_does_not_matter(reference, tissue, tmp_path, layout):
    ours = network_input(ingest_image(tmp_path / "slide", tissue, **layout))
    assert np.array_equal(ours, reference["uint16"])


@pytest.mark.parametrize("name", ["tall", "tall, resized"])
def test_height_of_the_strips_does_not_matter(reference, tall, tmp_path, monkeypatch, name):
    mpp = {"tall": 0.5, "tall, resized": 0.49}[name]
    for strip_pixels in (8_000_000, 1):
        monkeypatch.setattr(ingest, "STRIP_PIXELS", strip_pixels)
        ours = network_input(ingest_image(tmp_path / str(strip_pixels), tall, mpp))
        assert np.array_equal(ours, reference[name])


def test_a_slide_without_membrane_is_one_with_an_empty_membrane(reference, dark_edge, tmp_path):
    ours = network_input(ingest_image(tmp_path / "slide", dark_edge[..., :1], 0.25))
    assert np.array_equal(ours, reference["nuclear only"])


def membranes(image):
    """Return the nuclear channel and two membrane channels of very different brightness."""
    dim = np.flipud(image[..., 1]) // 5
    return np.dstack([image, dim])


def combine(image):
    """Return the two channels that those three come to, as float32."""
    nuclear, *stains = np.moveaxis(membranes(image), -1, 0).astype(np.float32)
    scales = [np.percentile(stain[stain != 0], 99.9, method="linear") for stain in stains]
    scaled = [stain / np.float32(scale) for stain, scale in zip(stains, scales, strict=True)]
    return np.stack([nuclear, np.maximum(*scaled)], axis=-1)


def test_membranes_are_scaled_by_their_own_percentile_and_combined(reference, tissue, tmp_path):
    ours = network_input(ingest_image(tmp_path / "slide", membranes(tissue)))
    assert np.array_equal(ours, reference["two membranes"])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("n_pixels", [1, 2, 7, 999, 1000, 1001, 20_000])
@pytest.mark.parametrize("zeros", [0, 0.4, 0.999])
def test_percentile_of_strips_is_that_of_all_pixels(dtype, n_pixels, zeros):
    rng = np.random.default_rng(n_pixels)
    pixels = (rng.normal(60, 30, n_pixels).clip(1, 255) * (rng.random(n_pixels) >= zeros)).astype(
        dtype
    )
    top = TopValues(n_pixels)
    for strip in np.array_split(pixels, min(n_pixels, 13)):
        top.add(strip)
    nonzero = pixels[pixels != 0].astype(np.float64)
    if nonzero.size:
        assert top.value() == pytest.approx(np.percentile(nonzero, 99.9), rel=1e-7)
    else:
        assert top.value() is None
