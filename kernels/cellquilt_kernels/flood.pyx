# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Marker-controlled watershed by priority flood, first in, first out at equal height.

The algorithm of `skimage.segmentation.watershed` (Soille and Ansoult, Signal Processing 20, 1990;
Beucher and Meyer, 1993): the highest pixel at the edge of the flood gives its label to its four
neighbours. scikit-image does not define the order of markers of equal height; here they flood in
raster order, so that a window of an image is flooded like the whole image.

The queue is a small heap of the pixels at the flood's current height and above, and bins of lower
pixels, each of which is sorted when the flood reaches its height.

A flood visits pixels all over the window, which exceeds the processor's caches. So pixels are
stored by blocks of a memory page, and within them by lines of the cache: a pixel's neighbours are
mostly in its own line.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void*) noexcept nogil

cdef enum:
    UNKNOWN = -1
    NEVER = -2
    N_BINS = 4096
    BLOCK = 512  # pixels: 16 rows of 32, a page
    AHEAD = 16  # pixels of a bin, of which memory is fetched beforehand

# From a pixel's row and column in its block to the bits of its place there: 2 rows of 4 are a line
ROW_BITS = (2, 4, 6, 8)
COLUMN_BITS = (0, 1, 3, 5, 7)

cdef struct Pixel:  # together in memory, since a flood visits pixels all over the image
    int label
    uint32_t depth

cdef struct Entry:
    uint64_t key
    Py_ssize_t index

cdef struct Waiting:
    uint32_t depth
    uint32_t index

cdef struct Heap:
    Entry* entries
    Py_ssize_t size
    Py_ssize_t room


cdef inline uint32_t depth_of(float height) noexcept nogil:
    """Return a number that decreases with the height of the pixel."""
    cdef float value = height + <float>0.0  # -0.0 and 0.0 have the same height
    cdef uint32_t bits
    memcpy(&bits, &value, sizeof(bits))
    return bits if bits & 0x80000000u else ~(bits | 0x80000000u)


cdef inline int push(Heap* heap, Entry entry) except -1 nogil:
    cdef Py_ssize_t child = heap.size, parent
    cdef Entry* entries
    if heap.size == heap.room:
        entries = <Entry*>realloc(heap.entries, 2 * heap.room * sizeof(Entry))
        if entries == NULL:
            raise MemoryError
        heap.entries = entries
        heap.room *= 2
    entries = heap.entries
    heap.size += 1
    while child > 0:
        parent = (child - 1) >> 2
        if entries[parent].key < entry.key:
            break
        entries[child] = entries[parent]
        child = parent
    entries[child] = entry
    return 0


cdef inline Py_ssize_t pop(Heap* heap) noexcept nogil:
    cdef Entry* entries = heap.entries
    cdef Py_ssize_t top = entries[0].index, parent = 0, child, best, last
    cdef Entry moved
    heap.size -= 1
    moved = entries[heap.size]
    while True:
        child = 4 * parent + 1
        if child >= heap.size:
            break
        last = child + 4 if child + 4 < heap.size else heap.size
        best = child
        child += 1
        while child < last:
            if entries[child].key < entries[best].key:
                best = child
            child += 1
        if entries[best].key >= moved.key:
            break
        entries[parent] = entries[best]
        parent = best
    entries[parent] = moved
    return top


def watershed(
    const float[:, ::1] image,
    const int[:, ::1] markers,
    float threshold,
    const unsigned char[::1] certain,
    open_sides,
):
    """Flood a window of a larger image downwards from markers, and find which labels are certain.

    Everything outside the window, and uncertain markers, count as an additional marker, UNKNOWN,
    that floods before all others. So UNKNOWN reaches every pixel no later than any flood from
    outside could, and a label that does not touch it has exactly the pixels that it has in the
    whole image.

    Parameters
    ----------
    image : (H, W) ndarray of float32
        Flooded from high to low; finite.
    markers : (H, W) ndarray of int32
        1 ... n; 0 elsewhere.
    threshold : float
        Only pixels above it are flooded; markers elsewhere are ignored.
    certain : (n,) ndarray of uint8
        Whether each marker is the same in the whole image.
    open_sides : tuple of bool
        Whether the image continues above, below, left and right of the window.

    Returns
    -------
    labels : (H, W) ndarray of int32
        The marker that each pixel belongs to; 0 for background, -1 for UNKNOWN.
    areas : (n + 1,) ndarray of int64
        Pixels of each label.
    touched : (n + 1,) ndarray of bool
        Labels with a pixel adjacent to UNKNOWN.
    """
    cdef Py_ssize_t height = image.shape[0], width = image.shape[1], n = certain.shape[0]
    # a frame of pixels that are never flooded makes tests for the window's edge unnecessary
    places = _places(height + 2, width + 2)
    cdef const int64_t[::1] row_places = places[0][1:], column_places = places[1][1:]
    cdef const int32_t[:, ::1] steps = places[2]
    cdef Py_ssize_t n_pixels = places[3], y, x, i, index
    cdef Pixel* pixels = NULL
    cdef int64_t[::1] filled = np.zeros(N_BINS + 1, np.int64)
    result = np.empty((height, width), np.int32)
    cdef int[:, ::1] flooded = result
    counted, met = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.uint8)
    cdef int64_t[::1] areas = counted
    cdef unsigned char[::1] touched = met
    cdef bint up = open_sides[0], down = open_sides[1], left = open_sides[2], right = open_sides[3]
    cdef uint64_t age = 0
    cdef uint32_t top = 0xFFFFFFFFu, bottom = 0, value
    cdef int label, other, shift = 0
    cdef bint edge
    cdef Py_ssize_t n_flooded = 0, place, run
    cdef Heap heap
    cdef Entry entry
    cdef uint32_t* bins = NULL  # each in the order of arrival
    heap.size, heap.room = 0, 1 << 12
    heap.entries = <Entry*>malloc(heap.room * sizeof(Entry))
    pixels = <Pixel*>malloc(n_pixels * sizeof(Pixel))
    try:
        if heap.entries == NULL or pixels == NULL:
            raise MemoryError
        with nogil:
            for index in range(n_pixels):
                pixels[index].label = NEVER
            for y in range(height):
                for x in range(width):
                    if not image[y, x] > threshold:
                        continue
                    n_flooded += 1
                    index = row_places[y] + column_places[x]
                    value = depth_of(image[y, x])
                    pixels[index].depth = value
                    top = value if value < top else top
                    bottom = value if value > bottom else bottom
                    label = markers[y, x]
                    edge = ((up and y == 0) or (down and y == height - 1) or (left and x == 0)
                            or (right and x == width - 1))
                    if edge or (label > 0 and not certain[label - 1]):
                        label = UNKNOWN
                        entry.key, entry.index = age, index
                        push(&heap, entry)
                        age += 1
                    pixels[index].label = label

        # a pixel enters once, so the size of a bin is the number of pixels of its depth
        while n_flooded and (bottom - top) >> shift >= N_BINS:
            shift += 1
        bins = <uint32_t*>malloc((n_flooded + 1) * sizeof(uint32_t))
        if bins == NULL:
            raise MemoryError
        with nogil:
            for index in range(n_pixels):
                if pixels[index].label != NEVER:
                    filled[((pixels[index].depth - top) >> shift) + 1] += 1
            for i in range(N_BINS):
                filled[i + 1] += filled[i]
        starts = np.array(filled)
        with nogil:
            for y in range(height):
                for x in range(width):
                    if markers[y, x] == 0:
                        continue
                    index = row_places[y] + column_places[x]
                    if pixels[index].label > 0:
                        place = (pixels[index].depth - top) >> shift
                        bins[filled[place]] = <uint32_t>index
                        filled[place] += 1
        flood_bins(&heap, bins, starts, filled, pixels, &steps[0, 0], top, shift, age)
        with nogil:
            for y in range(height):
                other, run = 0, 0
                for x in range(width):
                    label = pixels[row_places[y] + column_places[x]].label
                    label = 0 if label == NEVER else label
                    flooded[y, x] = label
                    if label != other:
                        if other > 0:
                            areas[other] += run
                        other, run = label, 0
                    run += 1
                if other > 0:
                    areas[other] += run
            for y in range(height):
                for x in range(width):
                    if flooded[y, x] != UNKNOWN:
                        continue
                    for i in range(4):
                        index = row_places[y] + column_places[x]
                        other = pixels[index + steps[index & BLOCK - 1, i]].label
                        if other > 0:
                            touched[other] = 1
    finally:
        free(heap.entries)
        free(bins)
        free(pixels)
    return result, counted, met.astype(bool)


def _places(height, width):
    """Return where the pixels of an image are stored.

    Returns
    -------
    rows : (height,) ndarray of int64
    columns : (width,) ndarray of int64
        The place of a pixel is that of its row plus that of its column.
    steps : (BLOCK, 8) ndarray of int32
        From a place, by its remainder, to those above, left, right and below; the last four, two
        pixels away.
    n_places : int
    """
    def spread(count, bits, beyond):
        at = np.arange(count)
        within = sum((at >> i & 1) << bit for i, bit in enumerate(bits))
        return within + (at >> len(bits)) * beyond

    n_across = (width - 1 >> len(COLUMN_BITS)) + 1
    n_down = (height - 1 >> len(ROW_BITS)) + 1
    columns = spread(n_across + 2 << len(COLUMN_BITS), COLUMN_BITS, BLOCK)
    rows = spread(n_down + 2 << len(ROW_BITS), ROW_BITS, BLOCK * n_across)
    steps = np.empty((BLOCK, 8), np.int32)
    for row in range(1 << len(ROW_BITS)):
        for column in range(1 << len(COLUMN_BITS)):
            y, x = row + (1 << len(ROW_BITS)), column + (1 << len(COLUMN_BITS))
            steps[rows[row] + columns[column]] = [
                step for far in (1, 2) for step in (
                    rows[y - far] - rows[y], columns[x - far] - columns[x],
                    columns[x + far] - columns[x], rows[y + far] - rows[y],
                )
            ]
    return rows[:height].copy(), columns[:width].copy(), steps, n_across * n_down * BLOCK


cdef int flood_bins(
    Heap* heap, uint32_t* bins, const int64_t[::1] starts, int64_t[::1] filled,
    Pixel* pixels, const int32_t* steps, uint32_t top, int shift, uint64_t age,
) except -1:
    """Flood from the pixels in the heap and the bins until both are empty."""
    cdef Py_ssize_t present = -1, n = 0, at = 0, i, j, k, index, place
    cdef const int32_t* near
    cdef const int32_t* nearer
    cdef int label
    cdef Entry entry
    cdef Waiting* waiting = NULL  # the present bin
    cdef Py_ssize_t room = np.diff(starts).max()
    waiting = <Waiting*>malloc((2 * room + 1) * sizeof(Waiting))
    if waiting == NULL:
        raise MemoryError
    try:
        with nogil:
            while True:
                # what arrived in the bin came before what the heap holds of the same height
                if at < n and (heap.size == 0
                               or <uint64_t>waiting[at].depth << 32 <= heap.entries[0].key):
                    if at + AHEAD < n:
                        index = waiting[at + AHEAD].index
                        near = steps + 8 * (index & BLOCK - 1) + 4
                        for k in range(4):
                            prefetch(&pixels[index + near[k]])
                    index = waiting[at].index
                    at += 1
                elif heap.size > 0:
                    index = pop(heap)
                else:
                    present += 1
                    if present >= N_BINS:
                        break
                    n = filled[present] - starts[present]
                    at = 0
                    collect(waiting, bins + starts[present], n, pixels, top, shift)
                    continue
                label = pixels[index].label
                near = steps + 8 * (index & BLOCK - 1)
                for i in range(4):
                    j = index + near[i]
                    if pixels[j].label != 0:
                        continue
                    pixels[j].label = label
                    nearer = steps + 8 * (j & BLOCK - 1)
                    for k in range(4):
                        if pixels[j + nearer[k]].label == 0:
                            break
                    else:  # popping it would change nothing
                        continue
                    place = (pixels[j].depth - top) >> shift
                    if place <= present:
                        age += 1
                        entry.key = (<uint64_t>pixels[j].depth << 32) | age
                        entry.index = j
                        push(heap, entry)
                    else:
                        bins[filled[place]] = <uint32_t>j
                        filled[place] += 1
    finally:
        free(waiting)
    return 0


cdef void collect(
    Waiting* waiting, const uint32_t* bin, Py_ssize_t n, const Pixel* pixels, uint32_t top, int shift
) noexcept nogil:
    """Sort the pixels of a bin by depth, equal ones in order of arrival.

    By insertion where they are few, else by counting the digits of what depths of the bin differ
    in, from the last one (Knuth, The Art of Computer Programming 3, 1998, section 5.2.5);
    `waiting` has room for 2 n.
    """
    cdef Py_ssize_t i, j, count, total
    cdef Py_ssize_t[256] counts
    cdef Waiting* source = waiting
    cdef Waiting* target = waiting + n
    cdef Waiting* other
    cdef Waiting moved
    cdef int bit = 0
    cdef uint32_t digit
    for i in range(n):
        if i + AHEAD < n:
            prefetch(&pixels[bin[i + AHEAD]])
        waiting[i].index = bin[i]
        waiting[i].depth = pixels[bin[i]].depth
    if n <= 32:
        for i in range(1, n):
            moved = waiting[i]
            j = i
            while j > 0 and waiting[j - 1].depth > moved.depth:
                waiting[j] = waiting[j - 1]
                j -= 1
            waiting[j] = moved
        return
    while bit < shift:
        for i in range(256):
            counts[i] = 0
        for i in range(n):
            counts[(source[i].depth - top) >> bit & 255] += 1
        total = 0
        for i in range(256):
            count = counts[i]
            counts[i] = total
            total += count
        for i in range(n):
            digit = (source[i].depth - top) >> bit & 255
            target[counts[digit]] = source[i]
            counts[digit] += 1
        other = source
        source = target
        target = other
        bit += 8
    if source != waiting:
        memcpy(waiting, source, n * sizeof(Waiting))
