// One frame of the peephole LSTM after its matrix products, Equations 3-7, forward and backward: see lstm.py for the
// letters. Arrays of a frame: a, ah, gates, delta (N, 4M) with the gates in the order i, f, g, o; h, c (N, M); W_c (3, M).

static __device__ REAL logistic(REAL z)
{
    return REAL(0.5) * tanh(REAL(0.5) * z) + REAL(0.5);
}

// a = x_t W_x, ah = h_{t-1} W_h
extern "C" __global__ void gates_forward(const REAL *a, const REAL *ah, const REAL *b, const REAL *c_prev,
                                         const REAL *W_c, REAL *gates, REAL *c, REAL *h, int M, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        int m = k % M, at = k / M * 4 * M + m;
        REAL a_i = a[at] + ah[at] + b[m], a_f = a[at + M] + ah[at + M] + b[m + M];
        REAL a_g = a[at + 2 * M] + ah[at + 2 * M] + b[m + 2 * M], a_o = a[at + 3 * M] + ah[at + 3 * M] + b[m + 3 * M];
        REAL i = logistic(a_i + W_c[m] * c_prev[k]);      // (3)
        REAL f = logistic(a_f + W_c[m + M] * c_prev[k]);  // (4)
        REAL g = tanh(a_g);
        REAL c_t = f * c_prev[k] + i * g;                 // (5)
        REAL o = logistic(a_o + W_c[m + 2 * M] * c_t);    // (6)
        h[k] = o * tanh(c_t);                             // (7)
        c[k] = c_t;
        gates[at] = i, gates[at + M] = f, gates[at + 2 * M] = g, gates[at + 3 * M] = o;
    }
}

// dh + dh_next is the gradient of h_t; dc is that of c_t and becomes that of c_{t-1}, in place
extern "C" __global__ void gates_backward(const REAL *dh, const REAL *dh_next, const REAL *gates, const REAL *c_prev,
                                          const REAL *c, const REAL *W_c, REAL *delta, REAL *dc, int M, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        int m = k % M, at = k / M * 4 * M + m;
        REAL i = gates[at], f = gates[at + M], g = gates[at + 2 * M], o = gates[at + 3 * M];
        REAL tanh_c = tanh(c[k]), dh_t = dh[k] + dh_next[k];
        REAL delta_o = dh_t * tanh_c * o * (1 - o);
        REAL dc_t = dc[k] + dh_t * o * (1 - tanh_c * tanh_c) + delta_o * W_c[m + 2 * M];
        REAL delta_i = dc_t * g * i * (1 - i), delta_f = dc_t * c_prev[k] * f * (1 - f), delta_g = dc_t * i * (1 - g * g);
        dc[k] = dc_t * f + delta_i * W_c[m] + delta_f * W_c[m + M];
        delta[at] = delta_i, delta[at + M] = delta_f, delta[at + 2 * M] = delta_g, delta[at + 3 * M] = delta_o;
    }
}

// db (4M) and dW_c (3, M): sums over all frames of all clips, delta (rows, 4M), the cells before and after (rows, M)
extern "C" __global__ void peephole_grads(const REAL *delta, const REAL *c_prev, const REAL *c, REAL *dW_c, REAL *db,
                                          int rows, int M, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        int m = k % M, gate = k / M;
        const REAL *cell = gate == 3 ? c : c_prev;
        REAL sum = 0, through_cell = 0;
        for (int row = 0; row < rows; row++) {
            REAL d = delta[row * n + k];
            sum += d;
            if (gate != 2)
                through_cell += d * cell[row * M + m];
        }
        db[k] = sum;
        if (gate != 2)
            dW_c[gate == 3 ? 2 * M + m : k] = through_cell;
    }
}
