// Max over windows of frames: see temporal.py. Window m of M is [m stride, min(m stride + window, T)); winner is the
// offset in its window of the first frame that has the maximum. x (N, T, D), y and winner (N, M, D).

extern "C" __global__ void temporal_max_forward(const REAL *x, REAL *y, unsigned short *winner, int T, int D, int window,
                                                int stride, int M, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        int d = k % D, start = k / D % M * stride, frames = min(window, T - start), clip = k / D / M, first = 0;
        const REAL *frame = x + (clip * T + start) * D + d;
        REAL best = frame[0];
        for (int t = 1; t < frames; t++) {
            REAL value = frame[t * D];
            if (value > best)
                first = t;
            if (value > best || value != value) // NaN in, NaN out
                best = value;
        }
        y[k] = best;
        winner[k] = first;
    }
}

// dx[n, t, d] = the sum of dy over the windows that frame t won
extern "C" __global__ void temporal_max_backward(const REAL *dy, const unsigned short *winner, REAL *dx, int T, int D,
                                                 int window, int stride, int M, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        int d = k % D, t = k / D % T, clip = k / D / T;
        REAL sum = 0;
        for (int m = max((t - window + stride) / stride, 0); m <= min(t / stride, M - 1); m++) {
            int place = (clip * M + m) * D + d;
            sum += dy[place] * (winner[place] == t - m * stride);
        }
        dx[k] = sum;
    }
}
