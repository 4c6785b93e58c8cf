"""Median, spread, percentile and largest of the pixels of objects, and the ring inside of them.

Ranks need all pixels of an object at once. They are kept from its first run to its last, so that
memory follows the objects that the rows at hand are of.
"""

from libc.math cimport floor, isnan, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc

# What `Gathered.add` finds, in this order.
MEASURES = ("mean", "median", "std", "p90", "max", "sum")

ctypedef fused pixel:
    uint8_t
    uint16_t
    uint32_t
    int32_t
    float
    double

cdef enum:
    FEW = 16  # pixels that are sorted as fast as one of them is selected


cdef class Gathered:
    """The pixels of objects that have two parts; an object is in memory until it is complete.

    Parameters
    ----------
    first, second : (n,) int64
        Number of pixels of the parts of each object, label 1 first.
    ranked : bool
        Whether median and 90th percentile are asked for; they take most of the time.
    """

    cdef char **pixels
    cdef int64_t (*filled)[2]
    cdef const int64_t[::1] first, second
    cdef Py_ssize_t n
    cdef bint ranked

    def __cinit__(self, const int64_t[::1] first, const int64_t[::1] second, bint ranked=True):
        self.n, self.first, self.second, self.ranked = first.shape[0], first, second, ranked
        if second.shape[0] != self.n:
            raise ValueError("the two parts are not of the same objects")
        self.pixels = <char **>calloc(max(self.n, 1), sizeof(char *))
        self.filled = <int64_t (*)[2]>calloc(max(self.n, 1), sizeof(self.filled[0]))
        if self.pixels == NULL or self.filled == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef Py_ssize_t i
        if self.pixels != NULL:
            for i in range(self.n):
                free(self.pixels[i])
        free(self.pixels)
        free(self.filled)

    def add(
        self,
        const int32_t[:, ::1] runs,
        bint is_second,
        const pixel[:, ::1] pixels,
        Py_ssize_t y0,
        float[:, :, ::1] found,
    ):
        """Add the pixels under runs of one of the parts.

        Parameters
        ----------
        runs : (n, 4) int32
            See `cellquilt_kernels.regions`.
        is_second : bool
            Of which part they are.
        pixels : (rows, width)
            Rows of the image from `y0` on, which contain all runs; of one type in all calls.
        y0 : int
        found : (3, 6, n) float32
            Output: `MEASURES` of the first part, of the second and of both, of each object that
            is complete now; what a part without pixels has is left as it is. Computed in float64
            as numpy does it: the percentile between ranks is linear, the standard deviation that
            of all pixels. Where a pixel is NaN, they are.
        """
        cdef Py_ssize_t i, own, n
        cdef int64_t one, two
        cdef pixel *values
        with nogil:
            for i in range(runs.shape[0]):
                own = runs[i, 3] - 1
                one, two = self.first[own], self.second[own]
                if self.pixels[own] == NULL:
                    self.pixels[own] = <char *>malloc((one + two) * sizeof(pixel))
                    if self.pixels[own] == NULL:
                        with gil:
                            raise MemoryError
                n = runs[i, 2] - runs[i, 1]
                if self.filled[own][is_second] + n > (two if is_second else one):
                    with gil:
                        raise ValueError("an object has more pixels than were counted")
                values = <pixel *>self.pixels[own]
                copy(
                    values + is_second * one + self.filled[own][is_second],
                    &pixels[runs[i, 0] - y0, runs[i, 1]],
                    n,
                )
                self.filled[own][is_second] += n
                if self.filled[own][0] == one and self.filled[own][1] == two:
                    if one:
                        describe(values, one, self.ranked, found, 0, own)
                    if two:
                        describe(values + one, two, self.ranked, found, 1, own)
                    if one and two:
                        describe(values, one + two, self.ranked, found, 2, own)
                    else:
                        for n in range(found.shape[1]):
                            found[2, n, own] = found[0 if one else 1, n, own]
                    free(values)
                    self.pixels[own] = NULL


cdef inline void copy(pixel *target, const pixel *source, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        target[i] = source[i]


cdef void describe(
    pixel *values, Py_ssize_t n, bint ranked, float[:, :, ::1] found, Py_ssize_t part, Py_ssize_t own
) noexcept nogil:
    """Set the `MEASURES` of n pixels, one or more, which are left in another order."""
    cdef double total = 0, square = 0, mean, largest = <double>values[0], value, place, below, above
    cdef double median, high
    cdef Py_ssize_t i, rank, middle
    for i in range(n):
        total += <double>values[i]
    mean = total / n
    for i in range(n):
        value = <double>values[i]
        square += (value - mean) * (value - mean)
        largest = value if value > largest else largest
    if pixel is float or pixel is double:
        for i in range(n):
            if isnan(<double>values[i]):
                for rank in range(found.shape[1]):
                    found[part, rank, own] = <float>values[i]
                return
    found[part, 0, own] = <float>mean
    found[part, 2, own] = <float>sqrt(square / n)
    found[part, 4, own] = <float>largest
    found[part, 5, own] = <float>total
    if not ranked:
        return
    # As numpy, whose rank of a percentile lies between two pixels'
    place = (n - 1) * 0.9
    rank = <Py_ssize_t>floor(place)
    place -= rank
    select(values, n, rank)
    below = above = <double>values[rank]
    if rank + 1 < n:
        above = least(values + rank + 1, n - rank - 1)
    high = below + (above - below) * place
    if place >= 0.5:
        high = above - (above - below) * (1 - place)
    middle = n // 2
    # All up to that rank now lie before it
    if middle <= rank:
        select(values, rank + 1, middle)
        median = <double>values[middle]
    else:
        median = above  # of two pixels
    if n % 2 == 0:
        median = (most(values, middle) + median) / 2
    found[part, 1, own] = <float>median
    found[part, 3, own] = <float>high


cdef double least(const pixel *values, Py_ssize_t n) noexcept nogil:
    cdef pixel found = values[0]
    cdef Py_ssize_t i
    for i in range(1, n):
        found = values[i] if values[i] < found else found
    return <double>found


cdef double most(const pixel *values, Py_ssize_t n) noexcept nogil:
    cdef pixel found = values[0]
    cdef Py_ssize_t i
    for i in range(1, n):
        found = values[i] if values[i] > found else found
    return <double>found


cdef void select(pixel *values, Py_ssize_t n, Py_ssize_t rank) noexcept nogil:
    """Bring the value of a rank, from 0, to its place: smaller ones before, larger ones after.

    Values that equal the pivot are put together, so that channels of few values take no longer.
    Pivots are of places that no order of pixels is likely to meet all the time.
    """
    cdef Py_ssize_t low = 0, high = n, i, k, equal
    cdef uint64_t state = 0x9E3779B97F4A7C15ULL
    cdef pixel pivot, value, a, b, c
    while high - low > FEW:
        a, b, c = (
            values[low + pick(&state, high - low)],
            values[low + pick(&state, high - low)],
            values[low + pick(&state, high - low)],
        )
        pivot = max(min(a, b), min(max(a, b), c))
        i = low
        for k in range(low, high):
            value = values[k]
            values[k] = values[i]
            values[i] = value
            i += value < pivot
        if rank < i:
            high = i
            continue
        equal = i
        for k in range(i, high):
            value = values[k]
            values[k] = values[equal]
            values[equal] = value
            equal += value <= pivot
        if rank < equal:
            return
        low = equal
    for i in range(low + 1, high):
        value = values[i]
        k = i
        while k > low and values[k - 1] > value:
            values[k] = values[k - 1]
            k -= 1
        values[k] = value


cdef inline Py_ssize_t pick(uint64_t *state, Py_ssize_t n) noexcept nogil:
    """Return a number below n, the next of a sequence (xorshift)."""
    state[0] ^= state[0] << 13
    state[0] ^= state[0] >> 7
    state[0] ^= state[0] << 17
    return <Py_ssize_t>((state[0] >> 16) % <uint64_t>n)


def ring(
    const uint32_t[:, ::1] labels,
    Py_ssize_t above,
    const int32_t[::1] reach,
    uint32_t[:, ::1] found,
):
    """Write the pixels of objects that have a pixel of another value near them; others become 0.

    Parameters
    ----------
    labels : (rows, width) uint32
        A strip with `above` rows above and some below; where these are fewer than what `reach`
        says, the image ends there.
    above : int
    reach : (n,) int32
        How many columns near a pixel are, in its own row, in the next one on either side, and so
        on. What lies beyond the image is not looked at.
    found : (rows, width) uint32
        Output: the strip.
    """
    cdef Py_ssize_t height = labels.shape[0], width = labels.shape[1], y, x, row, step, n
    cdef uint16_t *left
    cdef uint16_t *right
    cdef uint8_t *inside
    cdef int32_t wide
    n = found.shape[0]
    if above + n > height or found.shape[1] != width:
        raise ValueError("the strip is not within its rows")
    left = <uint16_t *>malloc(2 * max(height * width, 1))
    right = <uint16_t *>malloc(2 * max(height * width, 1))
    inside = <uint8_t *>malloc(max(width, 1))
    if left == NULL or right == NULL or inside == NULL:
        free(left)
        free(right)
        free(inside)
        raise MemoryError
    with nogil:
        for y in range(height):
            distances(&labels[y, 0], width, left + y * width, right + y * width)
        for y in range(above, above + n):
            for x in range(width):
                inside[x] = 1
            for step in range(1 - reach.shape[0], reach.shape[0]):
                row = y + step
                if row < 0 or row >= height:
                    continue
                wide = reach[step if step > 0 else -step]
                keep_inside(
                    inside, &labels[y, 0], &labels[row, 0], left + row * width,
                    right + row * width, wide, width,
                )
            for x in range(width):
                found[y - above, x] = 0 if inside[x] else labels[y, x]
        free(left)
        free(right)
        free(inside)


cdef inline void distances(
    const uint32_t *labels, Py_ssize_t width, uint16_t *left, uint16_t *right
) noexcept nogil:
    """Set how many pixels on either side go on with a pixel's value; very many at the edges."""
    cdef Py_ssize_t x
    for x in range(width):
        if x == 0:
            left[x] = 65535
        elif labels[x] != labels[x - 1]:
            left[x] = 0
        else:
            left[x] = left[x - 1] + (left[x - 1] < 65535)
    for x in range(width - 1, -1, -1):
        if x == width - 1:
            right[x] = 65535
        elif labels[x] != labels[x + 1]:
            right[x] = 0
        else:
            right[x] = right[x + 1] + (right[x + 1] < 65535)


cdef inline void keep_inside(
    uint8_t *inside,
    const uint32_t *own,
    const uint32_t *labels,
    const uint16_t *left,
    const uint16_t *right,
    int32_t wide,
    Py_ssize_t width,
) noexcept nogil:
    cdef Py_ssize_t x
    for x in range(width):
        inside[x] &= (labels[x] == own[x]) & (left[x] >= wide) & (right[x] >= wide)
