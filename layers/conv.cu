// The matrix cols that turns a convolution into a product (im2col), and its transpose (col2im): see conv.py. Rows are
// (n, p, q), columns (i, j, c); a row is kh runs of kw C neighbours in x, and zero outside the image.

extern "C" __global__ void im2col(const REAL *x, REAL *cols, int H, int W, int C, int kh, int kw, int s, int top,
                                  int left, int Ho, int Wo, int n)
{
    int run = kw * C;
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        int jc = k % run, rest = k / run, i = rest % kh;
        rest /= kh;
        int q = rest % Wo;
        rest /= Wo;
        int h = s * (rest % Ho) + i - top, wc = (s * q - left) * C + jc;
        bool inside = h >= 0 && h < H && wc >= 0 && wc < W * C;
        cols[k] = inside ? x[(rest / Ho * H + h) * W * C + wc] : 0;
    }
}

// The same where C is too small to read whole sectors of memory (the three colours of an image): a block reads the inputs
// of Q positions once and in order into shared memory, and writes cols from there. Loops begin up to 31 elements early,
// so that the threads of a warp read and write whole sectors.
extern "C" __global__ void im2col_image(const REAL *x, REAL *cols, int H, int W, int C, int kh, int kw, int s, int top,
                                        int left, int Ho, int Wo, int Q, int tiles)
{
    __shared__ REAL seen[4096];
    int run = kw * C, row = kh * run, span = ((Q - 1) * s + kw) * C, across = (Wo + Q - 1) / Q;
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        int first = tile % across * Q, p = tile / across % Ho, image = tile / across / Ho;
        for (int i = 0; i < kh; i++) {
            int h = s * p + i - top, start = (s * first - left) * C, line = (image * H + h) * W * C;
            for (int k = threadIdx.x - (line + start & 31); k < span; k += blockDim.x)
                if (k >= 0) {
                    bool inside = h >= 0 && h < H && start + k >= 0 && start + k < W * C;
                    seen[i * span + k] = inside ? x[line + start + k] : 0;
                }
        }
        __syncthreads();
        int place = ((image * Ho + p) * Wo + first) * row;
        for (int k = threadIdx.x - (place & 31); k < min(Q, Wo - first) * row; k += blockDim.x)
            if (k >= 0)
                cols[place + k] = seen[k % row / run * span + k / row * s * C + k % run];
        __syncthreads();
    }
}

// dx[n, h, w, c] = the sum of dcols over all kernel positions that read x[n, h, w, c]
extern "C" __global__ void col2im(const REAL *dcols, REAL *dx, int H, int W, int C, int kh, int kw, int s, int top,
                                  int left, int Ho, int Wo, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        int c = k % C, w = k / C % W + left, rest = k / C / W, h = rest % H + top, image = rest / H;
        REAL sum = 0;
        for (int p = max((h - kh + s) / s, 0); p <= min(h / s, Ho - 1); p++)
            for (int q = max((w - kw + s) / s, 0); q <= min(w / s, Wo - 1); q++) {
                int i = h - s * p, j = w - s * q;
                sum += dcols[((((image * Ho + p) * Wo + q) * kh + i) * kw + j) * C + c];
            }
        dx[k] = sum;
    }
}
