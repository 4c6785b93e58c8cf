"""Histograms and look-up tables of small integers, and CLAHE of binned grey levels.

The reference of `clahe` is ``skimage.exposure._adapthist._clahe`` with a kernel of 128, a clip
limit of 0.01 and 256 bins, as in the constants below.
"""

from libc.stdlib cimport free, malloc
from libc.string cimport memset

ctypedef fused small_t:
    unsigned char
    unsigned short

ctypedef fused entry_t:
    unsigned char
    float

cdef enum:
    KERNEL = 128
    HALF = 64
    N_BINS = 256
    N_PIXELS = 16384  # of a block
    CLIP = 163  # int(0.01 * N_PIXELS)
    MAX_CODE = 16383


def histogram(const small_t[::1] values, long long[::1] counts):
    """Add the number of occurrences of each value to `counts`, one entry per value of the type."""
    cdef Py_ssize_t i
    if counts.shape[0] != 1 << 8 * sizeof(small_t):
        raise ValueError("counts must have an entry for every value of the type")
    with nogil:
        for i in range(values.shape[0]):
            counts[values[i]] += 1


def lookup(const small_t[::1] values, const entry_t[::1] table, entry_t[::1] out):
    """Fill `out` with ``table[values]``; the table has an entry for every value of the type."""
    cdef Py_ssize_t i
    if out.shape[0] != values.shape[0]:
        raise ValueError("values and out differ in size")
    with nogil:
        for i in range(values.shape[0]):
            out[i] = table[values[i]]


def clahe(
    const unsigned char[:, ::1] bins,
    Py_ssize_t start,
    Py_ssize_t stop,
    unsigned short[:, ::1] out,
):
    """Equalise rows [start, stop) of an image.

    Parameters
    ----------
    bins : (height, width) uint8
        14-bit grey levels divided by 65.
    start, stop : int
        Rows, ``0 <= start < stop <= height``.
    out : (stop - start, width) uint16
        Output: equalised levels, below 16,384.
    """
    cdef Py_ssize_t n_rows = (bins.shape[0] + KERNEL - 1) // KERNEL
    cdef Py_ssize_t n_cols = (bins.shape[1] + KERNEL - 1) // KERNEL
    cdef Py_ssize_t size = n_cols * N_BINS
    cdef Py_ssize_t row = (start + HALF) // KERNEL
    cdef Py_ssize_t measured = max(row - 1, 0) - 1
    cdef Py_ssize_t y0 = start
    cdef Py_ssize_t y1, col, above, below, left, right
    if not 0 <= start < stop <= bins.shape[0]:
        raise ValueError("rows outside the image")
    if out.shape[0] != stop - start or out.shape[1] != bins.shape[1]:
        raise ValueError("out does not fit the rows")
    # The maps of two consecutive rows of blocks; those of row r are in half r % 2.
    cdef float *maps = <float *>malloc(2 * size * sizeof(float))
    if maps == NULL:
        raise MemoryError
    with nogil:
        while y0 < stop:
            # The pixels between the centres of two rows of blocks; above the first and
            # below the last there is only one row to interpolate from.
            y1 = min(row * KERNEL + HALF, stop)
            above, below = max(row - 1, 0), min(row, n_rows - 1)
            while measured < below:
                measured += 1
                for col in range(n_cols):
                    measure(bins, measured, col, maps + measured % 2 * size + col * N_BINS)
            for col in range(n_cols + 1):
                left, right = max(col - 1, 0) * N_BINS, min(col, n_cols - 1) * N_BINS
                interpolate(
                    bins[y0:y1],
                    y0 + HALF - row * KERNEL,
                    col,
                    maps + above % 2 * size + left,
                    maps + above % 2 * size + right,
                    maps + below % 2 * size + left,
                    maps + below % 2 * size + right,
                    out[y0 - start : y1 - start],
                )
            y0 = y1
            row += 1
    free(maps)


cdef inline Py_ssize_t reflected(Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    """Return the pixel in 0 to n - 1 that pixel `i` mirrors; the last one is not repeated."""
    if n == 1:
        return 0
    i = i % (2 * n - 2)
    return i if i < n else 2 * n - 2 - i


cdef void measure(
    const unsigned char[:, ::1] bins, Py_ssize_t row, Py_ssize_t col, float *levels
) noexcept nogil:
    """Fill `levels` with one block's map from bin to equalised grey level."""
    cdef Py_ssize_t height = bins.shape[0], width = bins.shape[1]
    cdef Py_ssize_t x0 = col * KERNEL
    cdef Py_ssize_t inside = min(width - x0, KERNEL)
    cdef Py_ssize_t y, x
    cdef const unsigned char *line
    # Neighbours are often equal: separate counters avoid waiting for the previous increment.
    cdef int counts[4][N_BINS]
    cdef int total = 0
    memset(counts, 0, sizeof(counts))
    for y in range(row * KERNEL, (row + 1) * KERNEL):
        line = &bins[reflected(y, height), 0]
        for x in range(x0, x0 + inside):
            counts[x % 4][line[x]] += 1
        for x in range(x0 + inside, x0 + KERNEL):
            counts[0][line[reflected(x, width)]] += 1
    for x in range(N_BINS):
        counts[0][x] += counts[1][x] + counts[2][x] + counts[3][x]
    clip(counts[0])
    for x in range(N_BINS):
        total += counts[0][x]
        levels[x] = <float>min(<long long>total * MAX_CODE // N_PIXELS, MAX_CODE)


cdef void clip(int *counts) noexcept nogil:
    """Clip the counts at CLIP and redistribute the excess, as skimage's ``clip_histogram`` does."""
    cdef int excess = 0, before, share, under, step
    cdef Py_ssize_t i, first
    for i in range(N_BINS):
        if counts[i] > CLIP:
            excess += counts[i] - CLIP
            counts[i] = CLIP
    share = excess // N_BINS
    for i in range(N_BINS):
        if counts[i] < CLIP - share:
            counts[i] += share
            excess -= share
        if CLIP - share <= counts[i] < CLIP:
            excess -= CLIP - counts[i]
            counts[i] = CLIP
    while excess > 0:
        before = excess
        for first in range(N_BINS):
            under = 0
            for i in range(N_BINS):
                under += counts[i] < CLIP
            step = max(1, under // excess)
            i = first
            while i < N_BINS:
                if counts[i] < CLIP:
                    counts[i] += 1
                    excess -= 1
                i += step
            if excess <= 0:
                break
        if excess == before:
            break


cdef void interpolate(
    const unsigned char[:, ::1] bins,
    Py_ssize_t down,
    Py_ssize_t col,
    const float *upper_left,
    const float *upper_right,
    const float *lower_left,
    const float *lower_right,
    unsigned short[:, ::1] out,
) noexcept nogil:
    """Fill `out` between the centres of two columns of blocks.

    The first row of `bins` and `out` is `down` rows below the centres of the upper blocks. Sums
    are rounded to float32 after each term, in the reference's order.
    """
    cdef Py_ssize_t x0 = max(col * KERNEL - HALF, 0)
    cdef Py_ssize_t n = min(col * KERNEL + HALF, bins.shape[1]) - x0
    cdef Py_ssize_t right = x0 - (col * KERNEL - HALF)
    cdef Py_ssize_t y, x, k
    cdef float levels[N_BINS][4]
    cdef float weights[KERNEL][4]
    cdef float fraction
    cdef const unsigned char *line
    cdef unsigned short *codes
    for k in range(N_BINS):
        levels[k][0], levels[k][1] = upper_left[k], upper_right[k]
        levels[k][2], levels[k][3] = lower_left[k], lower_right[k]
    for y in range(bins.shape[0]):
        line = &bins[y, x0]
        codes = &out[y, x0]
        for x in range(n):
            k = right + x
            weights[x][0] = <float>((KERNEL - down - y) * (KERNEL - k)) / N_PIXELS
            weights[x][1] = <float>((KERNEL - down - y) * k) / N_PIXELS
            weights[x][2] = <float>((down + y) * (KERNEL - k)) / N_PIXELS
            weights[x][3] = <float>((down + y) * k) / N_PIXELS
        for x in range(n):
            k = line[x]
            codes[x] = <unsigned short><int>(
                levels[k][0] * weights[x][0]
                + levels[k][1] * weights[x][1]
                + levels[k][2] * weights[x][2]
                + levels[k][3] * weights[x][3]
            )
