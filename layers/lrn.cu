// Local response normalisation across channels: see lrn.py. Each element is read by n threads, so a block copies its run
// of elements into shared memory, with r = n / 2 more on either side. The backward pass computes s again.

#define MOST 64 // the largest r: CUDA_CHANNELS of lrn.py is 2 * MOST + 1

static __device__ REAL inverse_power(REAL s, REAL beta) // s^-beta
{
    if (beta == REAL(0.75)) {
        REAL root = sqrt(s);
        return 1 / (root * sqrt(root));
    }
    return pow(s, -beta);
}

// sum over the channels within r of channel c, of the same pixel: around[0] is c's own
static __device__ REAL window_sum(const REAL *around, int c, int C, int r)
{
    REAL sum = 0;
    for (int d = -min(r, c); d <= min(r, C - 1 - c); d++)
        sum += around[d];
    return sum;
}

// tile[margin + i] = x[start + i] for every i of the block, and for `margin` more on either side
static __device__ void fetch(const REAL *x, REAL *tile, int start, int margin, int n)
{
    int i = threadIdx.x, B = blockDim.x;
    tile[margin + i] = start + i < n ? x[start + i] : 0;
    for (; i < margin; i += B) {
        tile[i] = start - margin + i >= 0 ? x[start - margin + i] : 0;
        tile[margin + B + i] = start + B + i < n ? x[start + B + i] : 0;
    }
    __syncthreads();
}

extern "C" __global__ void lrn_forward(const REAL *x, REAL *y, REAL k, REAL a, REAL beta, int r, int C, int n)
{
    __shared__ REAL square[256 + 2 * MOST];
    for (int start = blockIdx.x * blockDim.x; start < n; start += gridDim.x * blockDim.x) {
        fetch(x, square, start, r, n);
        int i = threadIdx.x;
        REAL value = square[r + i];
        __syncthreads();
        for (int j = i; j < blockDim.x + 2 * r; j += blockDim.x)
            square[j] *= square[j];
        __syncthreads();
        if (start + i < n)
            y[start + i] = value * inverse_power(k + a * window_sum(square + r + i, (start + i) % C, C, r), beta);
        __syncthreads();
    }
}

extern "C" __global__ void lrn_backward(const REAL *dy, const REAL *x, REAL *dx, REAL k, REAL a, REAL beta, int r,
                                        int C, int n)
{
    __shared__ REAL xs[256 + 4 * MOST], square[256 + 4 * MOST], direct[256 + 2 * MOST], through[256 + 2 * MOST];
    for (int start = blockIdx.x * blockDim.x; start < n; start += gridDim.x * blockDim.x) {
        fetch(x, xs, start, 2 * r, n);
        fetch(dy, direct, start, r, n);
        for (int j = threadIdx.x; j < blockDim.x + 4 * r; j += blockDim.x)
            square[j] = xs[j] * xs[j];
        __syncthreads();
        for (int j = threadIdx.x; j < blockDim.x + 2 * r; j += blockDim.x) {
            int place = start - r + j;
            bool inside = place >= 0 && place < n;
            REAL s = inside ? k + a * window_sum(square + r + j, place % C, C, r) : 1;
            direct[j] *= inverse_power(s, beta);
            through[j] = direct[j] * xs[r + j] / s; // dy_j y_j / s_j
        }
        __syncthreads();
        int i = threadIdx.x;
        if (start + i < n) {
            REAL sum = window_sum(through + r + i, (start + i) % C, C, r);
            dx[start + i] = direct[r + i] - 2 * a * beta * xs[2 * r + i] * sum;
        }
        __syncthreads();
    }
}
