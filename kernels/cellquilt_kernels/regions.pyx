"""Area, moments, convex hull and pixel sums of a label image's objects, from its runs.

A run is a stretch of one object in one row: row in the image, first column, column after the
last, and the object's label, as four int32. Runs are in raster order.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free, realloc

# Columns of the sums in `describe`; rows and columns are relative to the object's first pixel.
DESCRIPTION = (
    *("area", "first_row", "first_column", "left", "right", "bottom"),
    *("rows", "columns", "rows_rows", "rows_columns", "columns_columns"),
)

ctypedef fused pixel:
    uint8_t
    uint16_t
    uint32_t
    int32_t
    float
    double

ctypedef fused total:
    int64_t
    double


def count(const uint32_t[:, ::1] labels):
    """Return the number of runs of objects in a label image, (rows, width)."""
    cdef Py_ssize_t y, x, n = 0, width = labels.shape[1]
    cdef uint32_t before
    with nogil:
        for y in range(labels.shape[0]):
            before = 0
            for x in range(width):
                n += labels[y, x] != before and labels[y, x] != 0
                before = labels[y, x]
    return n


def encode(const uint32_t[:, ::1] labels, Py_ssize_t y0, int32_t[:, ::1] runs):
    """Write the `count(labels)` runs of a strip whose first row is row `y0` of the image."""
    cdef Py_ssize_t y, x, n = 0, width = labels.shape[1]
    cdef uint32_t label
    with nogil:
        for y in range(labels.shape[0]):
            x = 0
            while x < width:
                label = labels[y, x]
                if label == 0:
                    x += 1
                    continue
                runs[n, 0], runs[n, 1], runs[n, 3] = <int32_t>(y0 + y), <int32_t>x, <int32_t>label
                x += 1
                while x < width and labels[y, x] == label:
                    x += 1
                runs[n, 2] = <int32_t>x
                n += 1


def describe(const int32_t[:, ::1] runs, int64_t[:, ::1] found):
    """Add runs to the (objects, 11) `DESCRIPTION` of their objects, label 1 in row 0."""
    cdef Py_ssize_t i
    cdef int64_t y, start, stop, n, columns
    cdef int64_t *own
    with nogil:
        for i in range(runs.shape[0]):
            own = &found[runs[i, 3] - 1, 0]
            start, stop = runs[i, 1], runs[i, 2]
            if own[0] == 0:
                own[1], own[2], own[3], own[4] = runs[i, 0], start, start, stop
            own[3], own[4] = min(own[3], start), max(own[4], stop)
            own[5] = runs[i, 0] + 1
            y, n = runs[i, 0] - own[1], stop - start
            start, stop = start - own[2], stop - own[2] - 1
            columns = n * (start + stop) // 2
            own[0] += n
            own[6] += n * y
            own[7] += columns
            own[8] += n * y * y
            own[9] += y * columns
            own[10] += squares(stop) - squares(start - 1)


cdef inline int64_t squares(int64_t n) noexcept nogil:
    """Return the sum of the squares up to n; differences of it hold for negative numbers too."""
    return n * (n + 1) * (2 * n + 1) // 6


def add_up(const int32_t[:, ::1] runs, const pixel[:, ::1] pixels, Py_ssize_t y0, total[::1] sums):
    """Add the pixels under runs to the sums of their objects, label 1 in row 0.

    `pixels` are rows of the image from `y0` on, which contain all runs. Integers are summed
    exactly as int64; others in float64, run by run, so that the result does not depend on strips.
    """
    cdef Py_ssize_t i, x
    cdef const pixel *row
    cdef total own
    with nogil:
        for i in range(runs.shape[0]):
            row = &pixels[runs[i, 0] - y0, 0]
            own = 0
            for x in range(runs[i, 1], runs[i, 2]):
                own += <total>row[x]
            sums[runs[i, 3] - 1] += own


cdef struct Chain:
    # The vertices (row, column) of one side of a hull, downwards.
    int32_t (*at)[2]
    int32_t n, room


cdef class Hulls:
    """Pixels of the objects' convex hulls; an object is in memory from its first row to its last.

    The hull is that of scikit-image's `convex_hull_image`: of the midpoints of the pixels' edges; a
    pixel belongs to it if its centre does, including the border. Integer arithmetic makes it exact.

    Parameters
    ----------
    bottoms : (n,) int64
        The row after the last one of each object, label 1 first.
    """

    cdef Chain (*sides)[2]
    cdef Py_ssize_t n
    cdef const int64_t[::1] bottoms

    def __cinit__(self, const int64_t[::1] bottoms):
        self.n, self.bottoms = bottoms.shape[0], bottoms
        self.sides = <Chain (*)[2]>calloc(max(self.n, 1), sizeof(self.sides[0]))
        if self.sides == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef Py_ssize_t i
        if self.sides != NULL:
            for i in range(self.n):
                free(self.sides[i][0].at)
                free(self.sides[i][1].at)
            free(self.sides)

    def add(self, const int32_t[:, ::1] runs, int64_t[::1] areas):
        """Add runs; after an object's last row, set the number of pixels of its hull."""
        cdef Py_ssize_t i, own
        with nogil:
            for i in range(runs.shape[0]):
                own = runs[i, 3] - 1
                # The right side is the left side of the mirrored image.
                extend(&self.sides[own][0], runs[i, 0], runs[i, 1])
                extend(&self.sides[own][1], runs[i, 0], 1 - runs[i, 2])
                if runs[i, 0] + 1 == self.bottoms[own]:
                    # Another run of the last row may follow, and then overwrites this.
                    areas[own] = area(&self.sides[own][0], &self.sides[own][1])
            for i in range(runs.shape[0]):
                own = runs[i, 3] - 1
                if runs[i, 0] + 1 == self.bottoms[own]:
                    release(&self.sides[own][0])
                    release(&self.sides[own][1])


cdef void release(Chain *side) noexcept nogil:
    free(side.at)
    side.at, side.n, side.room = NULL, 0, 0


cdef int extend(Chain *side, int32_t y, int32_t x) except -1 nogil:
    """Add the leftmost pixel of a row, and drop vertices that are no longer on the hull."""
    cdef int32_t (*at)[2]
    cdef void *more
    if side.n and side.at[side.n - 1][0] == y:
        if side.at[side.n - 1][1] <= x:
            return 0
        side.n -= 1
    while side.n > 1:
        at = &side.at[side.n - 2]
        if <int64_t>(at[1][1] - at[0][1]) * (y - at[1][0]) < (
            <int64_t>(x - at[1][1]) * (at[1][0] - at[0][0])
        ):
            break
        side.n -= 1
    if side.n == side.room:
        more = realloc(side.at, max(2 * side.room, 8) * sizeof(side.at[0]))
        if more == NULL:
            with gil:
                raise MemoryError
        side.at, side.room = <int32_t (*)[2]>more, max(2 * side.room, 8)
    side.at[side.n][0], side.at[side.n][1] = y, x
    side.n += 1
    return 0


cdef int64_t area(const Chain *left, const Chain *right) noexcept nogil:
    """Return the number of pixels whose centres lie between the two sides."""
    # A pixel of row y is inside if first(left) <= x <= -first(right): sum both over the rows.
    cdef int64_t top = left.at[0][0], bottom = left.at[left.n - 1][0]
    return (bottom - top + 1) - firsts(left) - firsts(right)


cdef int64_t firsts(const Chain *side) noexcept nogil:
    """Return the sum over the rows of the first column at or right of the side.

    As a convex function from rows to columns, the side of the hull of the edges' midpoints is the
    side through the pixels' centres plus a corner with slopes -1 and 1 over half a row each, with
    segments sorted by slope. Lengths are doubled here, to be integers.
    """
    cdef int64_t y = 2 * <int64_t>side.at[0][0] - 1, x = 2 * <int64_t>side.at[0][1]
    cdef int64_t row = side.at[0][0], result = 0, dy, dx, i = 1
    cdef int corner = 0  # segments of it already passed: slope -1, then slope 1
    while i < side.n or corner < 2:
        if i < side.n:
            dy = 2 * (<int64_t>side.at[i][0] - side.at[i - 1][0])
            dx = 2 * (<int64_t>side.at[i][1] - side.at[i - 1][1])
        if corner < 2 and (i == side.n or dx > (2 * corner - 1) * dy):
            dy, dx = 1, 2 * corner - 1
            corner += 1
        else:
            i += 1
        while 2 * row <= y + dy and row <= side.at[side.n - 1][0]:
            result += ceiling(x * dy + dx * (2 * row - y), 2 * dy)
            row += 1
        y, x = y + dy, x + dx
    return result


cdef inline int64_t ceiling(int64_t a, int64_t b) noexcept nogil:
    """Return a / b, rounded up; b is positive. C rounds towards 0."""
    return a // b + (a % b > 0)
