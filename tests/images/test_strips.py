"""Strips of rows, and images on disk that use no memory."""

import errno
import os

import numpy as np
import pytest

from cellquilt.images.strips import Scratch, pyramid_steps, strip_rows


@pytest.mark.parametrize(
    ("shape", "options", "heights"),
    [
        ((10, 3), {"rows": 4}, [4, 4, 2]),
        ((10, 3), {"pixels": 9}, [3, 3, 3, 1]),
        ((10, 3), {"pixels": 1}, [1] * 10),
        ((10, 3), {"pixels": 15, "multiple": 2}, [4, 4, 2]),
        ((10, 3), {"pixels": 1, "multiple": 8}, [8, 2]),
        ((10, 3), {}, [10]),
    ],
)
def test_strips_follow_each_other(shape, options, heights):
    strips = list(strip_rows(shape, **options))
    assert [y1 - y0 for y0, y1 in strips] == heights
    assert [y0 for y0, _ in strips] == [0, *np.cumsum(heights)[:-1]]


@pytest.mark.parametrize(
    ("shape", "steps"),
    [((1024, 1), [1]), ((1025, 1), [1, 2]), ((1, 2048), [1, 2]), ((3000, 5000), [1, 2, 4, 8])],
)
def test_a_pyramid_ends_where_a_level_fits(shape, steps):
    assert pyramid_steps(shape, 1024) == steps


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (37, 11), (5, 1000)])
def test_what_is_written_is_read(tmp_path, shape, dtype):
    scratch = Scratch(tmp_path, shape, dtype)
    assert not scratch[:].any() and scratch[:].dtype == dtype
    image = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    for y0, y1 in reversed(list(strip_rows(shape, 4))):
        scratch[y0:y1] = image[y0:y1]
    for rows in (slice(None), slice(2, 5), slice(0, None, 3), slice(3, 30, 8), slice(9, 99)):
        assert np.array_equal(scratch[rows], image[rows])
    assert np.array_equal(scratch.read(-1, 4), image[:4])
    assert np.array_equal(scratch.read(3, shape[0] + 1), image[3:])


def test_views_are_written_as_they_look(tmp_path):
    image = np.arange(60, dtype=np.uint16).reshape(6, 10)
    for view in (image[::2], image[:, ::3], image.T, image.astype(">u2"), image.astype(np.uint8)):
        scratch = Scratch(tmp_path, view.shape, np.uint16)
        scratch[:] = view
        assert np.array_equal(scratch[:], view)


def test_strips_of_another_shape_or_type_are_refused(tmp_path):
    scratch = Scratch(tmp_path, (6, 10), np.uint16)
    for rows in (np.s_[0:3], np.s_[5:7], np.s_[0:4:2]):
        with pytest.raises(ValueError, match="do not fit"):
            scratch[rows] = np.zeros((2, 10), np.uint16)
    with pytest.raises(ValueError, match="do not fit"):
        scratch[0:2] = np.zeros((2, 9), np.uint16)
    with pytest.raises(TypeError):
        scratch[0:2] = np.zeros((2, 10), np.float32)


def resident() -> int:
    """Return the bytes of this process that are in memory, mapped files included."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_holds_a_strip_and_not_the_image(tmp_path):
    shape = (4000, 5000)  # 80 MB
    before = resident()
    scratch = Scratch(tmp_path, shape, np.uint32)
    for y0, y1 in strip_rows(shape, 100):
        scratch[y0:y1] = np.full((y1 - y0, shape[1]), y0, np.uint32)
    assert sum(int(scratch[y0:y1].max()) for y0, y1 in strip_rows(shape, 100)) == 78_000
    assert resident() - before < 20e6


def test_the_file_has_no_name_and_its_space_is_freed(tmp_path):
    descriptors = len(os.listdir("/proc/self/fd"))
    scratch = Scratch(tmp_path, (100, 100), np.uint32)
    assert not list(tmp_path.iterdir())
    del scratch
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_full_disk_is_an_error_at_once(tmp_path):
    with pytest.raises(OSError, match=f"GB of scratch space.*{tmp_path.name}") as caught:
        Scratch(tmp_path, (1 << 30, 1 << 20), np.uint32)
    assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
