// What a CUDA kernel needs, on a processor: the threads of a block are fibers that take turns on one core.
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __global__
#define __device__
#ifdef __ELF__ // one block runs at a time, so its shared memory can be the program's; a block finds nothing useful in it
#define __shared__ static __attribute__((section("shared_memory")))
extern "C" __attribute__((weak)) char __start_shared_memory[], __stop_shared_memory[];
static void spoil_shared_memory() { memset(__start_shared_memory, 0x46, __stop_shared_memory - __start_shared_memory); }
#else
#define __shared__ static
static void spoil_shared_memory() {}
#endif

struct Index { int x, y, z; };
static Index blockIdx, blockDim, gridDim, threadIdx;

#define BOTH(name) \
    static float name(float x) { return __builtin_##name##f(x); } \
    static double name(double x) { return __builtin_##name(x); }
BOTH(exp) BOTH(log) BOTH(sqrt) BOTH(tanh) BOTH(fabs)
static float pow(float x, float y) { return __builtin_powf(x, y); }
static double pow(double x, double y) { return __builtin_pow(x, y); }
template <class T> static T max(T a, T b) { return a > b ? a : b; }
template <class T> static T min(T a, T b) { return a < b ? a : b; }
static unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}

struct Fiber {
    ucontext_t context;
    bool finished;
    char stack[1 << 16];
};
static Fiber *fibers;
static ucontext_t scheduler;
static void (*kernel)(void **);
static void **arguments;

static void __syncthreads() // back to the scheduler, which comes round again when all others are here too
{
    swapcontext(&fibers[threadIdx.x].context, &scheduler);
}

static void fiber()
{
    kernel(arguments);
    fibers[threadIdx.x].finished = true;
}

static void run_grid(int blocks, int threads, int barriers, void (*call)(void **), void **args)
{
    kernel = call, arguments = args, gridDim.x = blocks, blockDim.x = threads;
    fibers = barriers ? (Fiber *)malloc(sizeof(Fiber) * threads) : NULL;
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {
        spoil_shared_memory();
        if (!barriers)
            for (threadIdx.x = 0; threadIdx.x < threads; threadIdx.x++)
                call(args);
        for (int t = 0; barriers && t < threads; t++) {
            getcontext(&fibers[t].context);
            fibers[t].context.uc_stack.ss_sp = fibers[t].stack;
            fibers[t].context.uc_stack.ss_size = sizeof fibers[t].stack;
            fibers[t].context.uc_link = &scheduler;
            fibers[t].finished = false;
            makecontext(&fibers[t].context, fiber, 0);
        }
        for (int left = barriers ? threads : 0; left;)
            for (int t = 0; t < threads; t++)
                if (!fibers[t].finished) {
                    threadIdx.x = t;
                    swapcontext(&scheduler, &fibers[t].context);
                    left -= fibers[t].finished;
                }
    }
    free(fibers);
}
