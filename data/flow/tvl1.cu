// One iteration of TV-L1, in two launches: see tvl1.py. n = N H W pixels of all pairs, row by row; w and J are two such
// planes one behind the other (right, down), p four: p_1 and p_2 of the differences to the right, then of those down.

// w_d <- w_d - t J_d + tau div p_d; change (n): the square of what was added, if asked for
extern "C" __global__ void tvl1_primal(REAL *w, const REAL *p, const REAL *J, const REAL *c, const REAL *r, REAL *change,
                                       int look, REAL tau, REAL limit, int W, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        REAL t = (J[k] * w[k] + J[size_t(n) + k] * w[size_t(n) + k] + c[k]) * r[k], moved = 0;
        t = t < -limit ? -limit : t > limit ? limit : t;
        for (int d = 0; d < 2; d++) {
            const REAL *right = p + size_t(d) * n, *down = p + size_t(2 + d) * n;
            REAL div = right[k] + down[k];
            if (k >= 1)
                div -= right[k - 1]; // 0 before the first column, for it is the last of the row above
            if (k >= W)
                div -= down[k - W];
            REAL step = tau * div - t * J[size_t(d) * n + k];
            w[size_t(d) * n + k] += step;
            moved += step * step;
        }
        if (look)
            change[k] = moved;
    }
}

// p_d <- (p_d + grad w_d) / (1 + |grad w_d|)
extern "C" __global__ void tvl1_dual(const REAL *w, REAL *p, int H, int W, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        bool last_column = k % W == W - 1, last_row = k / W % H == H - 1;
        for (int d = 0; d < 2; d++) {
            const REAL *here = w + size_t(d) * n + k;
            REAL *right = p + size_t(d) * n + k, *down = p + size_t(2 + d) * n + k;
            REAL a = last_column ? 0 : here[1] - here[0], b = last_row ? 0 : here[W] - here[0];
            REAL length = 1 + sqrt(a * a + b * b);
            *right = (*right + a) / length;
            *down = (*down + b) / length;
        }
    }
}
