# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Marker-controlled watershed by priority flood, first in, first out at equal height.

The algorithm of `skimage.segmentation.watershed` (Soille and Ansoult, Signal Processing 20, 1990;
Beucher and Meyer, 1993): the highest pixel at the edge of the flood gives its label to its four
neighbours. scikit-image does not define the order of markers of equal height; here they flood in
raster order, so that a window of an image is flooded like the whole image.

The queue is a small heap of the pixels at the flood's current height and above, and bins of lower
pixels, which are sorted only when the flood reaches their height.
"""

import numpy as np

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void*) noexcept nogil

cdef enum:
    UNKNOWN = -1
    NEVER = -2
    N_BINS = 4096

cdef struct Pixel:  # together in memory, since a flood visits pixels all over the image
    int label
    uint32_t depth

cdef struct Entry:
    uint64_t key
    Py_ssize_t index

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
    cdef Py_ssize_t stride = width + 2, y, x, i, index
    # a frame of pixels that are never flooded makes tests for the window's edge unnecessary
    cdef Py_ssize_t n_pixels = (height + 2) * stride
    cdef Pixel* pixels = NULL
    cdef int64_t[::1] filled = np.zeros(N_BINS + 1, np.int64)
    result = np.empty((height, width), np.int32)
    cdef int[:, ::1] flooded = result
    counted, met = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.uint8)
    cdef int64_t[::1] areas = counted
    cdef unsigned char[::1] touched = met
    cdef bint up = open_sides[0], down = open_sides[1], left = open_sides[2], right = open_sides[3]
    cdef Py_ssize_t[4] steps = [-stride, -1, 1, stride]
    cdef uint64_t age = 0
    cdef uint32_t top = 0xFFFFFFFFu, bottom = 0, value
    cdef int label, shift = 0
    cdef bint edge
    cdef Py_ssize_t n_flooded = 0, place
    cdef Heap heap
    cdef Entry entry
    cdef uint64_t* bins = NULL  # age in the high bits, index in the low ones
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
                    index = (y + 1) * stride + x + 1
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
        bins = <uint64_t*>malloc((n_flooded + 1) * sizeof(uint64_t))
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
            for index in range(n_pixels):
                label = pixels[index].label
                if label <= 0:
                    continue
                areas[label] += 1
                place = (pixels[index].depth - top) >> shift
                bins[filled[place]] = age << 32 | <uint64_t>index
                filled[place] += 1
                age += 1
                for i in range(4):
                    if pixels[index + steps[i]].label == UNKNOWN:
                        touched[label] = 1
        flood_bins(&heap, bins, starts, filled, pixels, steps, top, shift, age, areas, touched)
        with nogil:
            for y in range(height):
                for x in range(width):
                    label = pixels[(y + 1) * stride + x + 1].label
                    flooded[y, x] = 0 if label == NEVER else label
    finally:
        free(heap.entries)
        free(bins)
        free(pixels)
    return result, counted, met.astype(bool)


cdef int flood_bins(
    Heap* heap, uint64_t* bins, const int64_t[::1] starts, int64_t[::1] filled,
    Pixel* pixels, const Py_ssize_t* steps, uint32_t top, int shift,
    uint64_t age, int64_t[::1] areas, unsigned char[::1] touched,
) except -1:
    """Flood from the pixels in the heap and the bins until both are empty."""
    cdef Py_ssize_t present = -1, i, j, k, index, place
    cdef int label, other
    cdef bint free_neighbour
    cdef Entry entry
    with nogil:
        while True:
            while heap.size > 0:
                index = pop(heap)
                label = pixels[index].label
                for i in range(4):
                    j = index + steps[i]
                    if pixels[j].label != 0:
                        continue
                    pixels[j].label = label
                    age += 1
                    free_neighbour = False
                    for k in range(4):
                        other = pixels[j + steps[k]].label
                        if other == 0:
                            free_neighbour = True
                        elif label > 0:
                            if other == UNKNOWN:
                                touched[label] = 1
                        elif other > 0:
                            touched[other] = 1
                    if label > 0:
                        areas[label] += 1
                    if not free_neighbour:  # popping it would change nothing
                        continue
                    place = (pixels[j].depth - top) >> shift
                    if place <= present:
                        entry.key = (<uint64_t>pixels[j].depth << 32) | age
                        entry.index = j
                        push(heap, entry)
                    else:
                        bins[filled[place]] = age << 32 | <uint64_t>j
                        filled[place] += 1
            present += 1
            if present >= N_BINS:
                break
            # they are popped soon, and are scattered in memory
            for i in range(starts[present], filled[present]):
                index = <Py_ssize_t>(bins[i] & 0xFFFFFFFFu)
                for k in range(4):
                    prefetch(&pixels[index + steps[k]])
            for i in range(starts[present], filled[present]):
                entry.index = <Py_ssize_t>(bins[i] & 0xFFFFFFFFu)
                entry.key = (<uint64_t>pixels[entry.index].depth << 32) | bins[i] >> 32
                push(heap, entry)
    return 0
