// Dropout without a stored mask: see dropout.py. Number k of the stream of Philox 4x64-10 (Salmon et al. 2011) under a
// key, exactly as numpy.random.Generator(Philox(key=key)).random(dtype=float32) draws it: four words of 64 bits per
// counter, two numbers per word, 24 bits per number.

typedef unsigned long long word;

static __device__ float uniform(word key, int k)
{
    word x[4] = {(word)(k / 8) + 1, 0, 0, 0}, key0 = key, key1 = 0;
    for (int round = 0; round < 10; round++) {
        word high0 = __umul64hi(0xD2E7470EE14C6C93ull, x[0]), low0 = 0xD2E7470EE14C6C93ull * x[0];
        word high1 = __umul64hi(0xCA5A826395121157ull, x[2]), low1 = 0xCA5A826395121157ull * x[2];
        x[0] = high1 ^ x[1] ^ key0, x[1] = low1, x[2] = high0 ^ x[3] ^ key1, x[3] = low0;
        key0 += 0x9E3779B97F4A7C15ull, key1 += 0xBB67AE8584CAA73Bull;
    }
    int place = k / 2 % 4;
    word drawn = place == 0 ? x[0] : place == 1 ? x[1] : place == 2 ? x[2] : x[3];
    unsigned bits = k % 2 ? drawn >> 32 : drawn;
    return (bits >> 8) * (1.0f / 16777216.0f);
}

// y = x / (1 - p) where the draw is at least p, else 0; the backward pass is the same function of dy. Rows of D numbers,
// numbered from `first`: row r has mask r / T.
extern "C" __global__ void dropout(const REAL *x, REAL *y, unsigned long long key, float p, REAL keep, int D, int T,
                                   int first, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        int draw = (first + k / D) / T * D + k % D;
        y[k] = x[k] * ((uniform(key, draw) >= p) / keep);
    }
}
