"""The end of a network's head: features upsampled, and a weighted sum of what of them is positive.

Sums have sixteen parts whatever the processor, so that every one gives the same numbers.
"""

import numpy as np

cdef extern from *:
    """
    #include <stddef.h>

    #if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
    #define EVERY_PROCESSOR \
        __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
    #else
    #define EVERY_PROCESSOR
    #endif

    typedef float floats __attribute__((vector_size(64), aligned(4), may_alias));
    typedef int masks __attribute__((vector_size(64)));

    #define POSITIVE(values) ((floats)((masks)(values) & ((values) > 0)))

    static inline __attribute__((always_inline)) void weighted(
        const float *row, ptrdiff_t width, ptrdiff_t n_channels, const float *kernel,
        const int n, float *found)
    {
        for (ptrdiff_t x = 0; x < width; x++) {
            const float *here = row + x * n_channels;
            const float *left = x > 0 ? here - n_channels : here;
            const float *right = x + 1 < width ? here + n_channels : here;
            floats first[2] = {{0}, {0}}, second[2] = {{0}, {0}};
            for (ptrdiff_t c = 0; c < n_channels; c += 16) {
                const floats near = *(const floats *)(here + c) * 0.75f;
                const floats a = near + *(const floats *)(left + c) * 0.25f;
                const floats b = near + *(const floats *)(right + c) * 0.25f;
                const floats up = POSITIVE(a), down = POSITIVE(b);
                for (int k = 0; k < n; k++) {
                    const floats weights = *(const floats *)(kernel + k * n_channels + c);
                    first[k] += up * weights;
                    second[k] += down * weights;
                }
            }
            for (int k = 0; k < n; k++) {
                float sums[2] = {0, 0};
                for (int lane = 0; lane < 16; lane++) {
                    sums[0] += first[k][lane];
                    sums[1] += second[k][lane];
                }
                found[2 * x * n + k] = sums[0];
                found[(2 * x + 1) * n + k] = sums[1];
            }
        }
    }

    EVERY_PROCESSOR static void weighted_sums(
        const float *features, ptrdiff_t height, ptrdiff_t width, ptrdiff_t n_channels,
        const float *kernel, int n, float *row, float *found)
    {
        for (ptrdiff_t y = 0; y < 2 * height; y++) {
            const ptrdiff_t near = y / 2, next = y % 2 ? near + 1 : near - 1;
            const ptrdiff_t far = next < 0 || next == height ? near : next;
            const float *a = features + near * width * n_channels;
            const float *b = features + far * width * n_channels;
            for (ptrdiff_t i = 0; i < width * n_channels; i++)
                row[i] = a[i] * 0.75f + b[i] * 0.25f;
            if (n == 1)
                weighted(row, width, n_channels, kernel, 1, found + y * 2 * width);
            else
                weighted(row, width, n_channels, kernel, 2, found + y * 4 * width);
        }
    }
    """
    void weighted_sums(
        const float *features, Py_ssize_t height, Py_ssize_t width, Py_ssize_t n_channels,
        const float *kernel, int n, float *row, float *found
    ) noexcept nogil


def upsampled_sums(
    const float[:, :, ::1] features, const float[:, ::1] kernel, float[:, :, ::1] found
):
    """Write, for each pixel of the upsampled features, sums of what of them is positive.

    Bilinear upsampling by two as TensorFlow's: pixels' centres are at halves, and what lies beyond
    the edge is as the edge.

    Parameters
    ----------
    features : (h, w, c) ndarray of float32
        c is a multiple of 16.
    kernel : (n, c) ndarray of float32
        Weights of n sums; n is 1 or 2.
    found : (2 h, 2 w, n) ndarray of float32
        To write.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    cdef Py_ssize_t height = features.shape[0], width = features.shape[1], c = features.shape[2]
    cdef int n = kernel.shape[0]
    if c % 16 or not c or n not in (1, 2) or not height or not width:
        raise ValueError(f"{c} channels and {n} sums")
    if (kernel.shape[1], found.shape[0], found.shape[1], found.shape[2]) != (
        c, 2 * height, 2 * width, n
    ):
        raise ValueError("the shapes of features, kernel and sums do not fit")
    cdef float[::1] row = np.empty(width * c, np.float32)
    with nogil:
        weighted_sums(
            &features[0, 0, 0], height, width, c, &kernel[0, 0], n, &row[0], &found[0, 0, 0]
        )
