# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""h-maxima by candidate flood, and labelling of the resulting peaks.

The h-maxima of f are the pixels p with f(p) - R(p) >= h, R being the morphological
reconstruction of s = f - h under f (Soille, Morphological Image Analysis, 2003, section 6.3.5;
`skimage.morphology.h_maxima` subtracts 2e-6 |f| more, and so does this). R(p) exceeds a level t
below f(p) if some q with s(q) > t is connected to p by a path along which f > t. So a pixel
adjacent to such a q is not an h-maximum. This leaves about one candidate per cell; from these
few, f > t is flooded until such a q is found.
"""

import numpy as np

from libc.math cimport fabsf
from libc.stdlib cimport free, malloc

cdef enum:
    KILLED = 0
    KEPT = 1
    UNCERTAIN = 2
    UNDECIDED = 3


cdef inline float lowered(float f, float h) noexcept nogil:
    return f - h - <float>2e-6 * fabsf(f)


def disk(int radius):
    """Return the offsets, (n, 2) int64, of the other pixels within `radius` of a pixel."""
    reach = np.arange(-radius, radius + 1)
    dy, dx = np.meshgrid(reach, reach, indexing="ij")
    inside = (dy**2 + dx**2 <= radius**2) & ((dy != 0) | (dx != 0))
    return np.column_stack([dy[inside], dx[inside]]).astype(np.int64)


def h_maxima(const float[:, ::1] image, float h, int radius, open_sides, Py_ssize_t budget=64):
    """Find the h-maxima of a window of a larger image.

    Parameters
    ----------
    image : (H, W) ndarray of float32
    h : float
        Minimum height of a maximum above its surroundings, above 0.
    radius : int
        Radius of the disk-shaped neighbourhood, at least 1.
    open_sides : tuple of bool
        Whether the image continues above, below, left and right of the window.
    budget : int
        Maximum number of visits, on average per pixel of the window.

    Returns
    -------
    (H, W) ndarray of uint8 or None
        0 if a pixel is not an h-maximum whatever lies outside the window, 1 if it is one
        whatever lies there, 2 if it depends on it; None if the budget was exceeded, which
        happens with noise below `h` with long paths through it.
    """
    cdef Py_ssize_t height = image.shape[0], width = image.shape[1], y, x, i, n_visits = 0
    result = np.zeros((height, width), np.uint8)
    if height == 0 or width == 0:
        return result
    cdef unsigned char[:, ::1] state = result
    cdef const long[:, ::1] offsets = disk(radius)
    cdef Py_ssize_t n_offsets = offsets.shape[0]
    cdef float lowest = image[0, 0], peak = image[0, 0], highest = lowered(image[0, 0], h), f
    cdef bint up = open_sides[0], down = open_sides[1], left = open_sides[2], right = open_sides[3]
    cdef bint any_open = up or down or left or right
    cdef float[:, ::1] seed = np.empty((height, width), np.float32)
    cdef float[::1] above = np.empty(width, np.float32)
    cdef Py_ssize_t dy, dx, first, last

    with nogil:
        for y in range(height):
            for x in range(width):
                f = image[y, x]
                seed[y, x] = lowered(f, h)
                lowest = f if f < lowest else lowest
                peak = f if f > peak else peak
                highest = seed[y, x] if seed[y, x] > highest else highest
    if peak - lowest < h and not any_open:
        return result
    with nogil:
        for y in range(height):
            for x in range(width):
                above[x] = seed[y, x]
            for i in range(n_offsets):
                dy, dx = offsets[i, 0], offsets[i, 1]
                if y + dy < 0 or y + dy >= height:
                    continue
                first = -dx if dx < 0 else 0
                last = width - dx if dx > 0 else width
                for x in range(first, last):
                    f = seed[y + dy, x + dx]
                    above[x] = f if f > above[x] else above[x]
            for x in range(width):
                f = image[y, x]
                if f - above[x] < h or f - highest < h and f - lowest < h:
                    continue
                # if the whole window lies above t, its highest pixel is decisive
                if f - lowest < h:
                    state[y, x] = UNCERTAIN if any_open else KEPT
                else:
                    state[y, x] = UNDECIDED

    cdef int[:, ::1] seen = np.zeros((height, width), np.int32)
    cdef Py_ssize_t margin_top = radius if up else 0, margin_left = radius if left else 0
    cdef Py_ssize_t end_bottom = height - radius if down else height
    cdef Py_ssize_t end_right = width - radius if right else width
    cdef Py_ssize_t limit = budget * height * width
    cdef Py_ssize_t* stack = <Py_ssize_t*>malloc(height * width * sizeof(Py_ssize_t))
    if stack == NULL:
        raise MemoryError
    cdef Py_ssize_t n, head, qy, qx
    cdef int candidate = 0
    cdef unsigned char verdict
    cdef float g, step
    try:
        with nogil:
            for y in range(height):
                for x in range(width):
                    if state[y, x] != UNDECIDED:
                        continue
                    candidate += 1
                    f = image[y, x]
                    verdict = KEPT
                    seen[y, x] = candidate
                    stack[0] = y * width + x
                    n, head = 1, 0
                    while head < n and verdict != KILLED:
                        qy, qx = stack[head] // width, stack[head] % width
                        head += 1
                        if (qy < margin_top or qy >= end_bottom or qx < margin_left
                                or qx >= end_right):
                            verdict = UNCERTAIN
                        for i in range(n_offsets):
                            dy, dx = qy + offsets[i, 0], qx + offsets[i, 1]
                            if dy < 0 or dy >= height or dx < 0 or dx >= width:
                                continue
                            if seen[dy, dx] == candidate:
                                continue
                            g = image[dy, dx]
                            if not f - g < h:
                                continue
                            # a q that excludes a pixel at least as high as p excludes p too
                            if f - seed[dy, dx] < h or (g >= f and state[dy, dx] == KILLED):
                                verdict = KILLED
                                break
                            seen[dy, dx] = candidate
                            stack[n] = dy * width + dx
                            n += 1
                    n_visits += n
                    if n_visits > limit:
                        break
                    # pixels of equal height in the same flood get the same result
                    for i in range(n):
                        qy, qx = stack[i] // width, stack[i] % width
                        if state[qy, qx] == UNDECIDED and image[qy, qx] == f:
                            state[qy, qx] = verdict
                if n_visits > limit:
                    break
    finally:
        free(stack)
    return None if n_visits > limit else result


def label_peaks(const unsigned char[:, ::1] maxima, open_sides):
    """Label the 8-connected peaks of h-maxima, in raster order of their first pixels.

    Parameters
    ----------
    maxima : (H, W) ndarray of uint8
        From `h_maxima`.
    open_sides : tuple of bool
        As for `h_maxima`.

    Returns
    -------
    labels : (H, W) ndarray of int32
        1 ... n, and 0 elsewhere.
    first : (n, 2) ndarray of int64
        Row and column of each peak's first pixel.
    certain : (n,) ndarray of bool
        Whether the peak is the same whatever lies outside the window.
    """
    cdef Py_ssize_t height = maxima.shape[0], width = maxima.shape[1], y, x, qy, qx, dy, dx, n, i
    result = np.zeros((height, width), np.int32)
    cdef int[:, ::1] labels = result
    cdef Py_ssize_t size = np.count_nonzero(maxima)
    firsts = np.zeros((size, 2), np.int64)
    cdef long[:, ::1] first = firsts
    flags = np.ones(size, np.uint8)
    cdef unsigned char[::1] certain = flags
    cdef Py_ssize_t[::1] stack = np.zeros(size, np.intp)
    cdef bint up = open_sides[0], down = open_sides[1], left = open_sides[2], right = open_sides[3]
    cdef int n_peaks = 0
    with nogil:
        for y in range(height):
            for x in range(width):
                if maxima[y, x] == 0 or labels[y, x] != 0:
                    continue
                first[n_peaks, 0], first[n_peaks, 1] = y, x
                n_peaks += 1
                labels[y, x] = n_peaks
                stack[0] = y * width + x
                n = 1
                while n > 0:
                    n -= 1
                    qy, qx = stack[n] // width, stack[n] % width
                    if (maxima[qy, qx] == UNCERTAIN or (up and qy == 0)
                            or (down and qy == height - 1) or (left and qx == 0)
                            or (right and qx == width - 1)):
                        certain[n_peaks - 1] = 0
                    for dy in range(qy - 1 if qy > 0 else 0, qy + 2 if qy + 2 < height else height):
                        for dx in range(
                            qx - 1 if qx > 0 else 0, qx + 2 if qx + 2 < width else width
                        ):
                            if maxima[dy, dx] != 0 and labels[dy, dx] == 0:
                                labels[dy, dx] = n_peaks
                                stack[n] = dy * width + dx
                                n += 1
    return result, firsts[:n_peaks].copy(), flags[:n_peaks].astype(bool)
