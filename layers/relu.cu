// dx = dy where y > 0: see relu.py; and bias and ReLU after a convolution's matrix product, forward and backward.

extern "C" __global__ void relu_backward(const REAL *dy, const REAL *y, REAL *dx, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x)
        dx[k] = dy[k] * (y[k] > 0);
}

// y (n / F, F) += b, then max(., 0) if relu
extern "C" __global__ void add_bias(REAL *y, const REAL *b, int relu, int F, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        REAL z = y[k] + b[k % F];
        y[k] = relu && z <= 0 ? 0 : z; // NaN stays NaN
    }
}

// dz (rows, F): dy, whose rows are dy_row elements apart, where y > 0 and 0 elsewhere; db (chunks, F): its sums over
// `chunk` rows each. A thread sums one column of a chunk, neighbours read neighbouring columns, always in one order.
extern "C" __global__ void add_bias_backward(const REAL *dy, int dy_row, const REAL *y, REAL *dz, REAL *db, int relu,
                                         int chunk, int rows, int F, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        int f = k % F, start = k / F * chunk, stop = min(start + chunk, rows);
        REAL sum = 0;
        for (int row = start; row < stop; row++) {
            REAL d = dy[row * dy_row + f];
            if (relu)
                d *= y[row * F + f] > 0;
            dz[row * F + f] = d;
            sum += d;
        }
        db[k] = sum;
    }
}
