# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Euler number and bounding box of every label, in one pass.

The Euler number for 8-connected objects is a sum over all 2 x 2 squares of the image:
(Q1 - Q3 - 2 Qd) / 4, with Q1 the number of squares with one pixel of the object, Q3 with three and
Qd with two on a diagonal (Gray, IEEE Trans. Computers C-20, 1971), as in
`skimage.measure.euler_number`.
"""

import numpy as np


def outlines(const int[:, ::1] labels, Py_ssize_t n):
    """Measure every label of a label image.

    Parameters
    ----------
    labels : (H, W) ndarray of int32
        At most `n`; 0 and below are background.
    n : int

    Returns
    -------
    euler : (n + 1,) ndarray of int64
        Number of 8-connected parts minus number of holes; row 0 is unused.
    boxes : (n + 1, 4) ndarray of int64
        y0, y1, x0, x1; y0 >= y1 for a label that does not occur.
    """
    cdef Py_ssize_t height = labels.shape[0], width = labels.shape[1], y, x, i, j
    quads = np.zeros(n + 1, np.int64)
    found = np.zeros((n + 1, 4), np.int64)
    found[:, 0], found[:, 2] = height, width
    cdef long[::1] quad = quads
    cdef long[:, ::1] boxes = found
    cdef int[4] square
    cdef int label, count, pattern
    cdef bint again
    with nogil:
        for y in range(height + 1):
            for x in range(width + 1):
                if (0 < y < height and 0 < x < width and labels[y, x] == labels[y - 1, x]
                        and labels[y, x] == labels[y, x - 1]
                        and labels[y, x] == labels[y - 1, x - 1]):
                    continue
                square[0] = labels[y - 1, x - 1] if y > 0 and x > 0 else 0
                square[1] = labels[y - 1, x] if y > 0 and x < width else 0
                square[2] = labels[y, x - 1] if y < height and x > 0 else 0
                square[3] = labels[y, x] if y < height and x < width else 0
                for i in range(4):
                    label = square[i]
                    if label <= 0:
                        continue
                    again = False
                    pattern = 0
                    for j in range(4):
                        if square[j] == label:
                            again = again or j < i
                            pattern |= 1 << j
                    if again:
                        continue
                    if pattern == 1 or pattern == 2 or pattern == 4 or pattern == 8:
                        quad[label] += 1
                    elif pattern == 6 or pattern == 9:
                        quad[label] -= 2
                    elif pattern != 3 and pattern != 5 and pattern != 10 and pattern != 12:
                        quad[label] -= 1
                    # the square's pixels with this label: the box contains the squares inside it
                    if pattern & 3 and y - 1 < boxes[label, 0]:
                        boxes[label, 0] = y - 1
                    if pattern & 12 and y < boxes[label, 0]:
                        boxes[label, 0] = y
                    if pattern & 12 and y + 1 > boxes[label, 1]:
                        boxes[label, 1] = y + 1
                    if pattern & 3 and y > boxes[label, 1]:
                        boxes[label, 1] = y
                    if pattern & 5 and x - 1 < boxes[label, 2]:
                        boxes[label, 2] = x - 1
                    if pattern & 10 and x < boxes[label, 2]:
                        boxes[label, 2] = x
                    if pattern & 10 and x + 1 > boxes[label, 3]:
                        boxes[label, 3] = x + 1
                    if pattern & 5 and x > boxes[label, 3]:
                        boxes[label, 3] = x
    return quads // 4, found
