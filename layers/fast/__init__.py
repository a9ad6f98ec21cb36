"""Convolution by other algorithms, in less time on a CPU. `layers.conv` chooses between them.

winograd  kernels of 3 x 3 and 5 x 5, by interpolation
fft       larger kernels, by the convolution theorem

What they cost is in the rounding. Both mix the pixels of a square (of S x S) before they sum: an error is small beside
the loudest pixel of the square and not, as in the direct sum, beside those that an output reads. Measured with standard
normal pixels, of which one is a: outputs that do not read it are off by

    a           1        1e3      1e6
    3 x 3       2e-5     7e-4     0.6       winograd
    5 x 5       4e-5     4e-4     0.6
    9 x 9       2e-6     1e-5     0.01      fft
    direct sum  4e-6     4e-6     4e-6

A NaN or an infinity spreads in the same way, as NaN, to all outputs of its squares, and no further: other images keep
their bits. So a divergence does not hide, but the place where it appears is not exact. `layers.conv.direct_sums`
switches to the direct sum, to look closer or for inputs of such a range.

Both have is_faster (where the algorithm saves time), correlate (the forward pass) and grads (the backward pass). Not
here: anything on a GPU.
"""
