// One update of all parameters, and the norm of all gradients: see sgd.py. Parameters are one vector w, velocities
// another of the same layout; gradients are arrays of their own. Table says which is which: array j has the numbers
// k = start[j] .. start[j + 1] - 1 of `count` arrays' n numbers in all, and stands in w from at[j] on.

struct Table {
    const REAL *g[160];
    int start[161];
    int at[160];
    unsigned char group[160]; // of equal rates
    double rate[16];          // lr
    double pull[16];          // lr wd
    int count;
};

static __device__ int find(const Table &table, int k) // the array that number k belongs to
{
    int low = 0, high = table.count;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (k < table.start[middle])
            high = middle;
        else
            low = middle;
    }
    return low;
}

extern "C" __global__ void sgd(REAL *w, REAL *v, const Table table, const REAL *norm, REAL momentum, REAL clip, int n)
{
    REAL shrink = clip > 0 && norm[0] > clip ? clip / norm[0] : 1;
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        int j = find(table, k), inside = k - table.start[j], place = table.at[j] + inside;
        REAL rate = table.rate[table.group[j]], pull = table.pull[table.group[j]];
        REAL weight = w[place], velocity = momentum * v[place] - rate * shrink * table.g[j][inside] - pull * weight;
        v[place] = velocity;
        w[place] = weight + velocity;
    }
}

// sums (tiles): of the squares of every tiles-th run of a block's length, added up in double
extern "C" __global__ void squares(REAL *sums, const Table table, int tiles, int n)
{
    __shared__ double all[256];
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        double sum = 0;
        for (int k = tile * blockDim.x + threadIdx.x; k < n; k += tiles * blockDim.x) {
            int j = find(table, k);
            double g = table.g[j][k - table.start[j]];
            sum += g * g;
        }
        all[threadIdx.x] = sum;
        for (int half = blockDim.x / 2; half; half /= 2) {
            __syncthreads();
            if (threadIdx.x < half)
                all[threadIdx.x] += all[threadIdx.x + half];
        }
        if (threadIdx.x == 0)
            sums[tile] = all[0];
        __syncthreads();
    }
}
