// The ends of parallel branches, see branches.py: their outputs joined on the last axis, their gradients added.

// Up to eight arrays. Side by side, array b has the channels from start[b] on.
struct Parts {
    const REAL *part[8];
    int start[9];
    int count;
};

extern "C" __global__ void join(REAL *y, const Parts parts, int C, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        int c = k % C, row = k / C, b = 0;
        while (c >= parts.start[b + 1])
            b++;
        y[k] = parts.part[b][row * (parts.start[b + 1] - parts.start[b]) + c - parts.start[b]];
    }
}

extern "C" __global__ void add(REAL *y, const Parts parts, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        REAL sum = parts.part[0][k];
        for (int b = 1; b < parts.count; b++)
            sum += parts.part[b][k];
        y[k] = sum;
    }
}
