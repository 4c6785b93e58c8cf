"""What goes into a network and what comes out of it: tiles of codes, and their blended maps."""

import numpy as np

from libc.stdint cimport uint16_t


def look_up(const uint16_t[:, :, :] codes, const float[:, ::1] tables, float[:, :, ::1] pixels):
    """Write what a tile's codes stand for, and return whether each channel has one code only.

    Parameters
    ----------
    codes : (k, h, w) ndarray of uint16
        A row's are beside each other.
    tables : (k, n) ndarray of float32
        What each code of a channel stands for.
    pixels : (h, w, c) ndarray of float32
        To write; of the first c channels.

    Raises
    ------
    ValueError
        If a code is not in its table, or a row's are not beside each other.
    """
    cdef Py_ssize_t c, y, x, n = tables.shape[1], n_written = pixels.shape[2]
    cdef Py_ssize_t height = codes.shape[1], width = codes.shape[2]
    cdef uint16_t first, largest = 0, differs = 0
    cdef const uint16_t *row
    cdef const float *table
    cdef float *written
    if codes.strides[2] != sizeof(uint16_t):
        raise ValueError("the codes of a row are not beside each other")
    with nogil:
        for c in range(codes.shape[0]):
            first = codes[c, 0, 0]
            for y in range(height):
                row = &codes[c, y, 0]
                for x in range(width):
                    differs |= row[x] ^ first
                    largest = max(largest, row[x])
        if largest < n:
            for y in range(height):
                for c in range(n_written):
                    row, table, written = &codes[c, y, 0], &tables[c, 0], &pixels[y, 0, c]
                    for x in range(width):
                        written[x * n_written] = table[row[x]]
    if largest >= n:
        raise ValueError(f"code {largest} of a tile is not among its {n}")
    return differs == 0


def blend(
    const float[:, ::1] maps,
    const double[::1] rows,
    const double[::1] columns,
    double[:, :] above,
    double[:, ::1] before,
    float[:, :, :] done,
):
    """Add a tile's maps to the sums of those before it, and round the sums that are complete.

    In float64, the weights multiplied first, as ``untile_image`` of deepcell_toolbox does. In a
    row of an array all maps of a pixel are beside each other: w, o and d pixels are w n, o n and
    d n columns of n maps.

    Parameters
    ----------
    maps : (h, w n) ndarray of float32
        With no row, of a tile that is not there.
    rows : (h,) ndarray of float64
    columns : (w n,) ndarray of float64
        Weights of the tile's rows and columns.
    above : (o, w n) ndarray of float64
        Sums of the tiles above, in the tile's first rows. Then those of its last rows, for the
        tiles below; its last columns stay, since the next tile needs them.
    before : (h, o n) ndarray of float64
        Sums of the tile before and of those above, in the tile's first columns. Then those of
        its last columns, for the next tile.
    done : (n, h or h - o, d) ndarray of float32
        To write, the tile's first rows and columns. All rows where no tile comes below; all
        columns, w, where none comes behind, else w - o.
    """
    cdef Py_ssize_t y, x, c, n = done.shape[0], height = before.shape[0], width = columns.shape[0]
    cdef Py_ssize_t overlap = before.shape[1], n_above = above.shape[0]
    cdef Py_ssize_t n_rows = done.shape[1], n_columns = done.shape[2]
    cdef Py_ssize_t stride = done.strides[2] // sizeof(float)
    cdef bint there = maps.shape[0] > 0
    cdef double weight
    cdef double *sums
    cdef double *carried
    cdef const float *values
    cdef float *target
    cdef double[::1] line = np.empty(width)
    if above.strides[1] != sizeof(double):
        raise ValueError("the sums of a row are not beside each other")
    with nogil:
        for y in range(height):
            sums, carried = &line[0], &before[y, 0]
            for x in range(overlap):
                sums[x] = carried[x]
            if y < n_above:
                carried = &above[y, 0]
                for x in range(overlap, width):
                    sums[x] = carried[x]
            else:
                for x in range(overlap, width):
                    sums[x] = 0
            if there:
                weight, values = rows[y], &maps[y, 0]
                for x in range(width):
                    sums[x] += values[x] * (weight * columns[x])
            carried = &before[y, 0]
            for x in range(overlap):
                carried[x] = sums[width - overlap + x]
            if y < n_rows:
                for c in range(n):
                    target = &done[c, y, 0]
                    for x in range(n_columns):
                        target[x * stride] = <float>sums[x * n + c]
            else:
                carried = &above[y - n_rows, 0]
                for x in range(n_columns * n):
                    carried[x] = sums[x]
