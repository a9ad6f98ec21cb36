// Softmax and its weighted cross-entropy: see loss.py. A block computes one row of K scores. The target of row r is the
// class label[r / frames] or, if dense, the distribution target[r / frames]. A label out of range makes the loss NaN.

static __device__ REAL largest(REAL value, REAL *all) // over the threads of the block
{
    all[threadIdx.x] = value;
    for (int half = blockDim.x / 2; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            all[threadIdx.x] = max(all[threadIdx.x], all[threadIdx.x + half]);
    }
    __syncthreads();
    value = all[0];
    __syncthreads();
    return value;
}

static __device__ REAL total(REAL value, REAL *all)
{
    all[threadIdx.x] = value;
    for (int half = blockDim.x / 2; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            all[threadIdx.x] += all[threadIdx.x + half];
    }
    __syncthreads();
    value = all[0];
    __syncthreads();
    return value;
}

extern "C" __global__ void softmax_loss(const REAL *scores, const long long *label, const REAL *target, int dense,
                                        const REAL *weight, REAL *dscores, REAL *loss, int frames, int K, int rows)
{
    __shared__ REAL all[256], w;
    __shared__ long long own;
    for (int r = blockIdx.x; r < rows; r += gridDim.x) {
        if (threadIdx.x == 0) {
            own = dense ? 0 : label[r / frames];
            w = weight[r];
        }
        const REAL *s = scores + r * K, *t = target + (dense ? r / frames * K : 0);
        int first = threadIdx.x - (r * K & 31); // so that the threads of a warp read whole sectors
        REAL top = log(REAL(0)), sum = 0; // -infinity
        for (int k = first; k < K; k += blockDim.x)
            if (k >= 0)
                top = max(top, s[k]);
        top = largest(top, all);
        for (int k = first; k < K; k += blockDim.x)
            if (k >= 0)
                sum += exp(s[k] - top);
        REAL log_sum = log(total(sum, all)), cross = own < 0 || own >= K ? log(REAL(-1)) : 0; // NaN
        for (int k = first; k < K; k += blockDim.x)
            if (k >= 0) {
                REAL log_p = s[k] - top - log_sum, wanted = dense ? t[k] : k == own;
                dscores[r * K + k] = w * (exp(log_p) - wanted);
                if (w * wanted != 0) // 0 * -infinity would be NaN
                    cross -= w * wanted * log_p;
            }
        cross = total(cross, all);
        if (threadIdx.x == 0)
            loss[r] = cross;
    }
}
