"""What goes into a network and what comes out of it: tiles of codes, and their blended maps."""

from libc.stdint cimport uint16_t


def look_up(const uint16_t[:, :, :] codes, const float[:, ::1] tables, float[:, :, ::1] pixels):
    """Write what a tile's codes stand for, and return whether each channel has one code only.

    Parameters
    ----------
    codes : (k, h, w) ndarray of uint16
    tables : (k, n) ndarray of float32
        What each code of a channel stands for.
    pixels : (h, w, c) ndarray of float32
        To write; of the first c channels.

    Raises
    ------
    ValueError
        If a code is not in its table.
    """
    cdef Py_ssize_t c, y, x, n = tables.shape[1], n_written = pixels.shape[2]
    cdef uint16_t code, first, largest = 0
    cdef bint constant = True
    with nogil:
        for c in range(codes.shape[0]):
            first = codes[c, 0, 0]
            for y in range(codes.shape[1]):
                for x in range(codes.shape[2]):
                    code = codes[c, y, x]
                    constant &= code == first
                    largest = max(largest, code)
        if largest < n:
            for y in range(codes.shape[1]):
                for x in range(codes.shape[2]):
                    for c in range(n_written):
                        pixels[y, x, c] = tables[c, codes[c, y, x]]
    if largest >= n:
        raise ValueError(f"code {largest} of a tile is not among its {n}")
    return constant


def add(double[:, :] band, const float[:, ::1] maps, const double[::1] rows, const double[::1] columns):
    """Add a tile's maps, each weighted by its row and its column.

    In float64, the weights multiplied first, as ``untile_image`` of deepcell_toolbox does.

    Parameters
    ----------
    band : (h, w) ndarray of float64
        Where they are added; all maps of a pixel beside each other.
    maps : (h, w) ndarray of float32
    rows : (h,) ndarray of float64
    columns : (w,) ndarray of float64
    """
    cdef Py_ssize_t y, x, width = maps.shape[1]
    cdef double weight
    cdef double *total
    cdef const float *values
    with nogil:
        for y in range(maps.shape[0]):
            weight, total, values = rows[y], &band[y, 0], &maps[y, 0]
            for x in range(width):
                total[x] += values[x] * (weight * columns[x])


def finish(const double[:, :, ::1] band, float[:, :, ::1] maps):
    """Round (h, w, n) sums to (n, h, w) float32 maps."""
    cdef Py_ssize_t y, x, c
    with nogil:
        for y in range(maps.shape[1]):
            for c in range(maps.shape[0]):
                for x in range(maps.shape[2]):
                    maps[c, y, x] = <float>band[y, x, c]
