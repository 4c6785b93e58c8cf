"""Joint histogram of two label images, matching of their objects, and writing matched labels.

Label images are uint32; 0 is background. The interior of an object is its pixels whose upper,
lower, left and right neighbours belong to it too; neighbours outside the image are ignored.
A strip of a larger image is given with the adjacent rows `above` and `below`; these are None at
the image's edge.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

cdef extern from *:
    """
    typedef unsigned __int128 wide;
    """
    ctypedef unsigned long long wide


cdef int no_memory() except -1 nogil:
    with gil:
        raise MemoryError


cdef class Index:
    """Hash table that numbers keys, other than 0, in order of insertion.

    Parameters
    ----------
    keys : (n,) uint64, optional
        Unique; the k-th gets the number k, from 0.
    """

    cdef uint64_t *keys
    cdef uint32_t *slots  # number + 1 of the key that hashes to this or a preceding slot, or 0
    cdef Py_ssize_t n, n_slots, capacity
    cdef int shift

    def __cinit__(self, const uint64_t[::1] keys=None):
        cdef Py_ssize_t i
        self.grow()
        if keys is not None:
            for i in range(keys.shape[0]):
                self.number(keys[i])

    def __dealloc__(self):
        free(self.keys)
        free(self.slots)

    def __len__(self):
        return self.n

    cdef inline Py_ssize_t slot(self, uint64_t key) noexcept nogil:
        """Return the slot of the key, or the one where it would be inserted."""
        cdef Py_ssize_t at = <Py_ssize_t>((key * 0x9E3779B97F4A7C15ULL) >> self.shift)
        while self.slots[at] and self.keys[self.slots[at] - 1] != key:
            at = (at + 1) & (self.n_slots - 1)
        return at

    cdef inline Py_ssize_t find(self, uint64_t key) noexcept nogil:
        """Return the key's number, or -1 if it has none."""
        return <Py_ssize_t>self.slots[self.slot(key)] - 1

    cdef inline Py_ssize_t number(self, uint64_t key) except -1 nogil:
        """Return the key's number, the next one if it is new."""
        cdef Py_ssize_t at = self.slot(key)
        if self.slots[at]:
            return self.slots[at] - 1
        if self.n == self.capacity:
            self.grow()
            at = self.slot(key)
        self.keys[self.n] = key
        self.n += 1
        self.slots[at] = <uint32_t>self.n
        return self.n - 1

    cdef int grow(self) except -1 nogil:
        cdef Py_ssize_t capacity = 2 * self.capacity if self.capacity else 1024
        cdef uint64_t *keys = <uint64_t *>realloc(self.keys, capacity * sizeof(uint64_t))
        cdef Py_ssize_t i
        if keys == NULL:
            no_memory()
        self.keys = keys
        free(self.slots)
        self.slots = <uint32_t *>calloc(2 * capacity, sizeof(uint32_t))
        if self.slots == NULL:
            no_memory()
        self.shift = self.shift - 1 if self.capacity else 64 - 11
        self.capacity, self.n_slots = capacity, 2 * capacity
        for i in range(self.n):
            self.slots[self.slot(self.keys[i])] = <uint32_t>(i + 1)
        return 0


cdef class JointHistogram:
    """Sums over the pixels of each pair of labels, accumulated strip by strip."""

    cdef Index pairs
    cdef int64_t (*sums)[6]
    cdef Py_ssize_t capacity

    def __cinit__(self):
        self.pairs = Index()

    def __dealloc__(self):
        free(self.sums)

    def __len__(self):
        return self.pairs.n

    def add(
        self,
        const uint32_t[:, ::1] first,
        const uint32_t[:, ::1] second,
        Py_ssize_t y0,
        const uint32_t[::1] above=None,
        const uint32_t[::1] below=None,
    ):
        """Count a strip whose first row is row `y0` of the image."""
        cdef Py_ssize_t height = first.shape[0], width = first.shape[1]
        cdef Py_ssize_t y, x, start, n
        cdef const uint32_t *a
        cdef const uint32_t *b
        cdef const uint32_t *up
        cdef const uint32_t *down
        cdef uint32_t label, other
        cdef int64_t inside[2]
        cdef int64_t *sums
        check(first, second, above, below)
        if height == 0 or width == 0:
            return
        with nogil:
            for y in range(height):
                a, b = &first[y, 0], &second[y, 0]
                up, down = neighbours(first, y, above, below)
                x = 0
                while x < width:
                    start, label, other = x, a[x], b[x]
                    x = run(a, b, x, width)
                    if label == 0 and other == 0:
                        continue
                    n = x - start
                    sums = self.of(<uint64_t>label << 32 | other)
                    sums[0] += n
                    sums[1] += n * (y0 + y)
                    sums[2] += n * (start + x - 1) // 2
                    if label and other:
                        interior(a, up, down, start, x, width, inside)
                        sums[3] += inside[0]
                        sums[4] += inside[0] * (y0 + y)
                        sums[5] += inside[1]

    cdef inline int64_t *of(self, uint64_t key) except NULL nogil:
        """Return the sums of a pair."""
        cdef Py_ssize_t number = self.pairs.number(key)
        cdef void *sums
        if number >= self.capacity:
            sums = realloc(self.sums, self.pairs.capacity * sizeof(self.sums[0]))
            if sums == NULL:
                no_memory()
            self.sums = <int64_t (*)[6]>sums
            memset(
                self.sums + self.capacity,
                0,
                (self.pairs.capacity - self.capacity) * sizeof(self.sums[0]),
            )
            self.capacity = self.pairs.capacity
        return self.sums[number]

    def read(self, uint64_t[::1] keys, int64_t[:, ::1] sums):
        """Copy the sums, in no particular order.

        Parameters
        ----------
        keys : (n,) uint64
            Output: pairs as first label * 2^32 + second label; at least one is not 0.
        sums : (n, 6) int64
            Output: number of pixels, sums of their rows and of their columns, and the same
            over the interior of the first object, all 0 if either label is 0.
        """
        cdef Py_ssize_t i, k
        for i in range(self.pairs.n):
            keys[i] = self.pairs.keys[i]
            for k in range(6):
                sums[i, k] = self.sums[i][k]


cdef check(
    const uint32_t[:, ::1] first,
    const uint32_t[:, ::1] second,
    const uint32_t[::1] above,
    const uint32_t[::1] below,
):
    cdef Py_ssize_t width = first.shape[1]
    if first.shape[0] != second.shape[0] or width != second.shape[1]:
        raise ValueError("the two images differ in shape")
    if (above is not None and above.shape[0] != width) or (
        below is not None and below.shape[0] != width
    ):
        raise ValueError("a row next to the strip is not as wide")


cdef inline (const uint32_t *, const uint32_t *) neighbours(
    const uint32_t[:, ::1] strip,
    Py_ssize_t y,
    const uint32_t[::1] above,
    const uint32_t[::1] below,
) noexcept nogil:
    """Return the rows above and below; at the image's edge the row itself, which never differs."""
    cdef const uint32_t *up = &strip[y, 0]
    cdef const uint32_t *down = up
    if y > 0:
        up = &strip[y - 1, 0]
    elif above is not None:
        up = &above[0]
    if y + 1 < strip.shape[0]:
        down = &strip[y + 1, 0]
    elif below is not None:
        down = &below[0]
    return up, down


cdef inline Py_ssize_t run(
    const uint32_t *a, const uint32_t *b, Py_ssize_t x, Py_ssize_t width
) noexcept nogil:
    """Return the end of the run of equal pairs that starts at `x`."""
    cdef uint32_t label = a[x], other = b[x]
    x += 1
    while x < width and a[x] == label and b[x] == other:
        x += 1
    return x


cdef inline bint at_left(const uint32_t *a, Py_ssize_t x) noexcept nogil:
    """Return whether an object starts at `x`, other than at the image's edge."""
    return x > 0 and a[x - 1] != a[x]


cdef inline bint at_right(const uint32_t *a, Py_ssize_t x, Py_ssize_t width) noexcept nogil:
    return x + 1 < width and a[x + 1] != a[x]


cdef inline void interior(
    const uint32_t *a,
    const uint32_t *up,
    const uint32_t *down,
    Py_ssize_t start,
    Py_ssize_t stop,
    Py_ssize_t width,
    int64_t *found,
) noexcept nogil:
    """Fill `found` with the number of interior pixels of a run, and the sum of their columns."""
    cdef uint32_t label = a[start]
    cdef int64_t n = 0, columns = 0
    cdef Py_ssize_t x
    start += at_left(a, start)
    # A run of one pixel can be at both ends.
    stop -= stop > start and at_right(a, stop - 1, width)
    for x in range(start, stop):
        if up[x] == label and down[x] == label:
            n += 1
            columns += x
    found[0], found[1] = n, columns


def choose(
    const uint64_t[::1] first,
    const int64_t[::1] second,
    const int64_t[:, ::1] shared,
    const int64_t[::1] area,
    unsigned char[::1] taken,
    int64_t[::1] chosen,
):
    """Match each first object, in order, with the second object that lies most inside it.

    Parameters
    ----------
    first : (n,) uint64
        Labels of the pairs' first objects, equal ones adjacent.
    second : (n,) int64
        Numbers, from 0, of the second objects, ascending for each first object.
    shared : (n, k) int64
        Column 0 is the number of pixels that they share.
    area : (m,) int64
        Pixels of the second objects. The largest shared / area wins, compared as integers; of
        equal ones the first.
    taken : (m,) uint8
        Whether a second object is unavailable; set to 1 when it is chosen.
    chosen : (at least as many as first objects,) int64
        Output: the chosen pairs.

    Returns
    -------
    int
        Number of chosen pairs.
    """
    cdef Py_ssize_t n = first.shape[0], n_chosen = 0, k = 0, best
    cdef uint64_t own
    with nogil:
        while k < n:
            own, best = first[k], -1
            while k < n and first[k] == own:
                if not taken[second[k]] and (
                    best < 0
                    or <wide>shared[k, 0] * <wide>area[second[best]]
                    > <wide>shared[best, 0] * <wide>area[second[k]]
                ):
                    best = k
                k += 1
            if best >= 0:
                taken[second[best]] = 1
                chosen[n_chosen] = best
                n_chosen += 1
    return n_chosen


def paint(
    Index firsts,
    Index seconds,
    const uint32_t[:, ::1] first,
    const uint32_t[:, ::1] second,
    const uint32_t[::1] above,
    const uint32_t[::1] below,
    uint32_t[:, ::1] first_out,
    uint32_t[:, ::1] second_out,
):
    """Write a strip of matched objects, labelled with their number in the indices plus 1.

    A pixel of a second object is kept if it has the same number as the first object and lies in
    its interior. All other pixels become 0.
    """
    cdef Py_ssize_t height = first.shape[0], width = first.shape[1]
    cdef Py_ssize_t y, x, start, stop, i
    cdef const uint32_t *a
    cdef const uint32_t *b
    cdef const uint32_t *up
    cdef const uint32_t *down
    cdef uint32_t *a_out
    cdef uint32_t *b_out
    cdef uint32_t label, new
    check(first, second, above, below)
    check(first_out, second_out, None, None)
    if first_out.shape[0] != height or first_out.shape[1] != width:
        raise ValueError("input and output differ in shape")
    if height == 0 or width == 0:
        return
    with nogil:
        for y in range(height):
            a, b = &first[y, 0], &second[y, 0]
            a_out, b_out = &first_out[y, 0], &second_out[y, 0]
            memset(b_out, 0, width * sizeof(uint32_t))
            up, down = neighbours(first, y, above, below)
            x, label, new = 0, 0, 0
            while x < width:
                start = x
                x = run(a, b, x, width)
                if a[start] != label:
                    label = a[start]
                    new = <uint32_t>(firsts.find(label) + 1) if label else 0
                for i in range(start, x):
                    a_out[i] = new
                if new and b[start] and seconds.find(b[start]) + 1 == new:
                    stop = x
                    start += at_left(a, start)
                    stop -= stop > start and at_right(a, stop - 1, width)
                    for i in range(start, stop):
                        b_out[i] = new if up[i] == label and down[i] == label else 0
