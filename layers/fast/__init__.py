"""Convolution by other algorithms, in less time on a CPU. `layers.conv` chooses between them.

winograd  kernels of 3 x 3 and 5 x 5, by interpolation
fft       larger kernels, by the convolution theorem

Both have is_faster (where the algorithm saves time), correlate (the forward pass) and grads (the backward pass). Not
here: anything on a GPU.
"""
