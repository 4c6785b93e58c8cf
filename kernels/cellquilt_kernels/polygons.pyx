"""Outlines of the objects of a label image, along the edges of their pixels.

The image is processed row by row. At each point where four pixels meet, a label has one corner if
one or three of the pixels have it, and two corners if two on a diagonal do. Corners are linked
immediately: a row has at most two open edges at a time (the lower sides of pixels above, the upper
sides of those below), and so has each column. Edges run to the right along the tops of pixels,
down their right sides, to the left along their bottoms and up their left sides. So with x to the
right and y down an outer ring has a positive area by the shoelace formula, and a hole a negative
one.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport free, realloc

import numpy as np


cdef struct Corner:
    int32_t x
    int32_t y
    int32_t next  # the corner at the end of the edge that starts here
    int32_t part  # 4-connected part, as known at that row; ~ring once visited


cdef struct Part:
    int32_t parent  # a part that it is connected with, or itself
    uint32_t label


cdef struct Twins:
    int32_t first  # two corners of one label at one point
    int32_t second


cdef void *grown(void *items, Py_ssize_t n, size_t size) except NULL nogil:
    """Return the array, reallocated from `n` to 2 * `n` items."""
    cdef Py_ssize_t capacity = 2 * n if n else 1024
    cdef void *moved
    if capacity > (<Py_ssize_t>1 << 31):
        with gil:
            raise OverflowError("outlines of more than 2^31 corners")
    moved = realloc(items, capacity * size)
    if moved == NULL:
        with gil:
            raise MemoryError
    return moved


cdef inline bint full(Py_ssize_t n) noexcept nogil:
    """Return whether an array that grows by `grown` is full with `n` items."""
    return n == 0 or (n >= 1024 and n & (n - 1) == 0)


cdef class Tracer:
    """Collects the corners of all objects.

    Parameters
    ----------
    width : int
        Width of the image in pixels.
    """

    cdef Corner *corners
    cdef Part *parts
    cdef Twins *twins
    cdef Py_ssize_t n_corners, n_parts, n_twins, width
    cdef int32_t y
    # The row above and its parts, with a background pixel on either side.
    cdef uint32_t[::1] above, row
    cdef int32_t[::1] above_parts, row_parts
    # Upper corner of the open edge at each column, of the pixels left and right of it.
    cdef int32_t[::1] down, up

    def __cinit__(self, Py_ssize_t width):
        self.width = width
        self.above, self.row = np.zeros((2, width + 2), np.uint32)
        self.above_parts, self.row_parts = np.zeros((2, width + 2), np.int32)
        self.down, self.up = np.zeros((2, width + 1), np.int32)

    def __dealloc__(self):
        free(self.corners)
        free(self.parts)
        free(self.twins)

    def add(self, const uint32_t[:, ::1] strip):
        """Process the next rows of the image, (rows, width)."""
        cdef Py_ssize_t y
        if strip.shape[1] != self.width:
            raise ValueError(f"a strip is {strip.shape[1]} px wide, not {self.width}")
        with nogil:
            for y in range(strip.shape[0] if self.width else 0):
                self.add_row(&strip[y, 0])

    def rings(self):
        """Close the outlines at the image's lower edge and link the corners to rings.

        Call it once, after the last strip.

        Returns
        -------
        (n, 4) ndarray of int64
            For each ring: first corner in raster order, number of corners, number of its
            4-connected part, and label. Rings are in the order of their first corners, so that
            the first one of a part is its outer ring and the others are holes.
        """
        cdef Py_ssize_t i, n = 0
        cdef int32_t corner, part, length
        cdef Twins twins
        cdef uint32_t[::1] beyond = np.zeros(self.width + 1, np.uint32)
        cdef int64_t[:, ::1] ring
        with nogil:
            self.add_row(&beyond[0])
            # Twins were linked as if they belonged to two parts that touch at this point. Twins of
            # one part enclose a hole: it becomes a separate ring, which touches the other.
            for i in range(self.n_twins):
                twins = self.twins[i]
                if self.root(self.corners[twins.first].part) == self.root(
                    self.corners[twins.second].part
                ):
                    corner = self.corners[twins.first].next
                    self.corners[twins.first].next = self.corners[twins.second].next
                    self.corners[twins.second].next = corner
        found = np.empty((self.n_corners // 4, 4), np.int64)
        ring = found
        with nogil:
            for i in range(self.n_corners):
                if self.corners[i].part < 0:
                    continue
                part = self.root(self.corners[i].part)
                corner, length = <int32_t>i, 0
                while self.corners[corner].part >= 0:
                    self.corners[corner].part = ~self.corners[corner].part
                    corner = self.corners[corner].next
                    length += 1
                ring[n, 0], ring[n, 1] = i, length
                ring[n, 2], ring[n, 3] = part, self.parts[part].label
                n += 1
        return found[:n].copy()

    def walk(self, const int64_t[::1] first, int32_t[:, ::1] points):
        """Write the corners of consecutive rings, each closed with its first corner.

        Parameters
        ----------
        first : (n,) int64
            First corners of the rings, from `rings`.
        points : (m, 2) int32
            Output: x and y.
        """
        cdef Py_ssize_t i, k = 0
        cdef int32_t corner
        with nogil:
            for i in range(first.shape[0]):
                corner = <int32_t>first[i]
                while True:
                    points[k, 0], points[k, 1] = self.corners[corner].x, self.corners[corner].y
                    k += 1
                    corner = self.corners[corner].next
                    if corner == first[i]:
                        break
                points[k, 0], points[k, 1] = self.corners[corner].x, self.corners[corner].y
                k += 1

    cdef int32_t root(self, int32_t part) noexcept nogil:
        """Return the representative of all parts connected with this one."""
        while self.parts[part].parent != part:
            self.parts[part].parent = self.parts[self.parts[part].parent].parent
            part = self.parts[part].parent
        return part

    cdef int add_row(self, const uint32_t *labels) except -1 nogil:
        cdef Py_ssize_t x
        for x in range(self.width):
            self.row[x + 1] = labels[x]
        self.connect()
        self.find_corners()
        self.above, self.row = self.row, self.above
        self.above_parts, self.row_parts = self.row_parts, self.above_parts
        self.y += 1
        return 0

    cdef int connect(self) except -1 nogil:
        """Assign each run of a label in the row the part of the pixels above it, or a new one."""
        cdef Py_ssize_t start, end = 1, x
        cdef uint32_t label
        cdef int32_t part, other, last
        while end <= self.width:
            start, label = end, self.row[end]
            while end <= self.width and self.row[end] == label:
                end += 1
            if label == 0:
                continue
            part = last = -1
            for x in range(start, end):
                if self.above[x] == label and self.above_parts[x] != last:
                    last = self.above_parts[x]
                    other = self.root(last)
                    if part < 0 or other < part:
                        part, other = other, part
                    if other >= 0:
                        self.parts[other].parent = part
            if part < 0:
                if full(self.n_parts):
                    self.parts = <Part *>grown(self.parts, self.n_parts, sizeof(Part))
                part = <int32_t>self.n_parts
                self.parts[part].parent, self.parts[part].label = part, label
                self.n_parts += 1
            for x in range(start, end):
                self.row_parts[x] = part
        return 0

    cdef inline int32_t corner(self, Py_ssize_t x, int32_t part) except -1 nogil:
        """Return a new corner."""
        cdef Corner *new
        if full(self.n_corners):
            self.corners = <Corner *>grown(self.corners, self.n_corners, sizeof(Corner))
        new = &self.corners[self.n_corners]
        new.x, new.y, new.part = <int32_t>x, self.y, part
        self.n_corners += 1
        return <int32_t>(self.n_corners - 1)

    cdef int pair(self, int32_t first, int32_t second) except -1 nogil:
        """Store two corners of one label at one point."""
        if full(self.n_twins):
            self.twins = <Twins *>grown(self.twins, self.n_twins, sizeof(Twins))
        self.twins[self.n_twins].first, self.twins[self.n_twins].second = first, second
        self.n_twins += 1
        return 0

    cdef int find_corners(self) except -1 nogil:
        """Find and link the corners between the row and the one above it.

        a b
        c d  are the pixels around a point. Edges that end here are linked before new ones start.
        """
        cdef Py_ssize_t x
        cdef uint32_t a, b, c, d
        cdef int32_t new, of_a = 0, of_c = 0
        cdef int32_t bottom = 0, top = 0  # left corner of the edge open along the row
        cdef int32_t[::1] down = self.down, up = self.up
        for x in range(self.width + 1):
            a, b, c, d = self.above[x], self.above[x + 1], self.row[x], self.row[x + 1]
            if a == b and c == d:
                continue
            if a and a != b and a != c:
                of_a = new = self.corner(x, self.above_parts[x])
                self.corners[new].next, self.corners[down[x]].next = bottom, new
            if c and c != a and c != d:
                of_c = new = self.corner(x, self.row_parts[x])
                self.corners[top].next, down[x] = new, new
            if b and b != a and b != d:
                new = self.corner(x, self.above_parts[x + 1])
                self.corners[new].next, bottom = up[x], new
                if b == c:
                    self.pair(of_c, new)
            if d and d != b and d != c:
                new = self.corner(x, self.row_parts[x + 1])
                top = up[x] = new
                if d == a:
                    self.pair(of_a, new)
            # Three pixels of one label.
            if a and a == b and a == c:
                new = self.corner(x, self.above_parts[x])
                bottom = down[x] = new
            elif a and a == b and a == d:
                new = self.corner(x, self.above_parts[x])
                self.corners[new].next, up[x] = bottom, new
            elif d and d == c and d == a:
                new = self.corner(x, self.row_parts[x + 1])
                self.corners[down[x]].next, top = new, new
            elif d and d == c and d == b:
                new = self.corner(x, self.row_parts[x + 1])
                self.corners[top].next, self.corners[new].next = new, up[x]
        return 0
