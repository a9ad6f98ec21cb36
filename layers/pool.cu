// Max over size x size windows: see pool.py. winner is the offset i * size + j in its window of the first maximum in
// row-major order, a byte: size is at most CUDA_SIZE = 16. Outside the image nothing wins.

extern "C" __global__ void max_pool_forward(const REAL *x, REAL *y, unsigned char *winner, int H, int W, int C,
                                            int size, int s, int top, int left, int Ho, int Wo, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        int c = k % C, q = k / C % Wo, rest = k / C / Wo, p = rest % Ho, image = rest / Ho;
        REAL best = 0;
        int first = -1;
        for (int i = 0; i < size; i++)
            for (int j = 0; j < size; j++) {
                int h = s * p + i - top, w = s * q + j - left;
                if (h < 0 || h >= H || w < 0 || w >= W)
                    continue;
                REAL value = x[((image * H + h) * W + w) * C + c];
                if (first < 0 || value > best || value != value) { // NaN in, NaN out
                    best = value;
                    first = i * size + j;
                }
            }
        y[k] = best;
        winner[k] = first;
    }
}

// dx[n, h, w, c] = the sum of dy over the windows that it won
extern "C" __global__ void max_pool_backward(const REAL *dy, int dy_row, const unsigned char *winner, REAL *dx, int H,
                                             int W, int C, int size, int s, int top, int left, int Ho, int Wo, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        int c = k % C, w = k / C % W + left, rest = k / C / W, h = rest % H + top, image = rest / H;
        REAL sum = 0;
        for (int p = max((h - size + s) / s, 0); p <= min(h / s, Ho - 1); p++)
            for (int q = max((w - size + s) / s, 0); q <= min(w / s, Wo - 1); q++) {
                int window = (image * Ho + p) * Wo + q, offset = (h - s * p) * size + w - s * q;
                sum += dy[window * dy_row + c] * (winner[window * C + c] == offset);
            }
        dx[k] = sum;
    }
}
