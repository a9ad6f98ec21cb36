# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 13 · A kernel without a GPU
#
# A CUDA kernel is a function that thousands of threads run at once. Each knows its own number and decides by it which
# elements it reads and which it writes. The text says so in one line,
#
#     for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x)
#
# and most of what can go wrong on a GPU goes wrong there. None of it needs a GPU to be seen. `layers.device.watch`
# compiles the very text of a `.cu` file with the host's C++ compiler, runs its threads one after the other, and takes a
# note whenever one of them touches an element. (It needs `g++`, or the compiler that `$CXX` names.)
#
# **Notation.** A *grid* is (blocks, threads of a block) · a *warp* is 32 neighbouring threads of a block, which read at
# the same moment · a *sector* is 32 bytes, eight float32, the least that a GPU fetches from its memory.

# %%
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from walk import bet, mark_same, prepare

from snippets.layers.device.cu_source import source
from snippets.layers.device.watch import watch
from snippets.layers.relu import relu_backward
from snippets.layers.temporal import temporal_max_backward, temporal_max_forward

prepare()

# %% [markdown]
# ## 13.1 Your bet
#
# Further down a kernel is changed so that *every element is computed and written by every block*: all of the work is
# done several times over, on a real GPU hundreds of times. Of the five tests below, values against NumPy, gradients,
# odd sizes, the same bits in every run, NaN where the input has NaN: how many fail?

# %%
MY_BET = 2  # of five; put your own number here before you run the next cells

# %% [markdown]
# ## 13.2 Who touches what
#
# The smallest kernel of the library: the backward pass of a ReLU.

# %%
text = source("layers/relu.cu")
print(text[text.index('extern "C"') : text.index("// y (n / F, F)")])

rng = np.random.default_rng(0)


def run(text, grid, n=27, dtype=np.float32):
    """relu_backward on n random elements; returns dx, what NumPy says, and the notes."""
    dy, y = rng.standard_normal(n).astype(dtype), np.maximum(rng.standard_normal(n), 0).astype(dtype)
    dx = np.full(n, np.nan, dtype)
    notes = watch(text, "relu_backward", grid, dy, y, dx, n)
    return dx, relu_backward(dy, y), notes


dx, expected, notes = run(text, (2, 4))
assert np.array_equal(dx, expected)
print(notes.map("dx"))

# %% [markdown]
# A row for each thread, a column for each element: `w` where it writes. Eight threads, 27 elements: each thread takes
# every eighth one. The map is the kernel's whole plan of work.
#
# ## 13.3 The figure: four plans
#
# Four ways to hand out 64 elements to two blocks of eight threads. The values are right in all four.

# %%
LOOP = "for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x)"
ME, ALL = "blockIdx.x * blockDim.x + threadIdx.x", "gridDim.x * blockDim.x"
head, _, tail = text.partition(LOOP)  # the first of the file: relu_backward's
PLANS = {
    "neighbours take neighbours": LOOP,
    "each its own stretch": (
        f"for (int each = (n + {ALL} - 1) / ({ALL}), k = ({ME}) * each; k < min(n, ({ME} + 1) * each); k++)"
    ),
    "every block does everything": "for (int k = threadIdx.x; k < n; k += blockDim.x)",
    "the first thread does it all": f"for (int k = 0; k < ({ME} == 0 ? n : 0); k++)",
}


def steps(notes, name, write=1):
    """(threads, elements): at which turn of its own loop a thread touches an element, counted from 1; 0: never."""
    blocks, threads = notes.grid
    turn = np.zeros((blocks * threads, notes.sizes[name]), int)
    count = np.zeros(blocks * threads, int)
    for note in notes.of(name, write):
        me = note["block"] * threads + note["thread"]
        count[me] += 1
        turn[me, note["at"]] = count[me]
    return turn


shades = ListedColormap(["white", *plt.get_cmap("viridis_r")(np.linspace(0.1, 1, 64))])
fig, axes = plt.subplots(2, 2, figsize=(10, 5), sharex=True, sharey=True)
for ax, (name, loop) in zip(axes.flat, PLANS.items(), strict=True):
    dx, expected, notes = run(head + loop + tail, (2, 8), 64)
    assert np.array_equal(dx, expected)
    turn = steps(notes, "dx")
    ax.imshow(np.sqrt(turn / turn.max()), cmap=shades, vmin=0, vmax=1, aspect="auto", interpolation="none")
    ax.axhline(7.5, color="k", lw=0.8)
    ax.set_title(f"{name}: written {np.unique(notes.writes('dx')).tolist()[0]}×, in {turn.max()} turns")
    ax.set(yticks=[0, 8], yticklabels=["block 0, thread 0", "block 1, thread 0"])
for ax in axes[1]:
    ax.set_xlabel("element")
plt.show()

# %% [markdown]
# **What to see:** light is early, dark is late. Above left, the plan of every kernel in this project: at each turn (one
# shade) neighbouring threads stand on neighbouring elements, like a comb that moves along. Above right each thread
# works through a stretch of its own: no element is missed or done twice, the same number of turns, and on a GPU it is
# slow, as the next section counts. Below left the two blocks do the same work, and below right fifteen threads watch
# the sixteenth.
#
# ## 13.4 What a GPU would fetch
#
# 32 threads of a warp ask for an element each, at the same moment. If the 32 elements lie side by side, that is 128
# bytes, four sectors. If each lies in another sector, it is 32. The notes are enough to count.

# %%
n, grid = 4096, (2, 64)


def sectors(notes, name, itemsize=4):
    """Sectors fetched by all warps together for reads of an array, and how many there are in the array."""
    turn = steps(notes, name, write=0)
    fetched = 0
    for first in range(0, len(turn), 32):
        warp = turn[first : first + 32]
        for t in range(1, warp.max() + 1):
            fetched += len(np.unique(np.nonzero(warp == t)[1] * itemsize // 32))
    return fetched, -(-notes.sizes[name] * itemsize // 32)


fetched = {}
for name, loop in PLANS.items():
    dx, expected, notes = run(head + loop + tail, grid, n)
    assert np.array_equal(dx, expected)
    fetched[name], least = sectors(notes, "dy")
    print(f"{name:30s} {fetched[name]:6,} sectors of dy, {fetched[name] / least:5.1f} times as many as there are")
assert fetched["neighbours take neighbours"] == least and fetched["each its own stretch"] == 8 * least

# %% [markdown]
# A kernel like this does nothing but read and write, so its time is that of the memory: the second plan costs up to
# eight times as much, with the same values, the same number of threads, and not one instruction more. (A cache softens
# it; it does not remove it.)
#
# ## 13.5 Five tests that pass
#
# Now the third plan, every block does everything. Give it the tests that a careful person would write.

# %%
twice = head + PLANS["every block does everything"] + tail


def values():
    dx, expected, _ = run(twice, (2, 4))
    return np.array_equal(dx, expected)


def gradients():
    h, n, dtype = 1e-6, 27, np.float64
    x, r = rng.standard_normal(n), rng.standard_normal(n)
    dx = np.empty(n, dtype)
    watch(twice, "relu_backward", (2, 4), r, np.maximum(x, 0), dx, n)
    numerical = [(r * (np.maximum(x + h * e, 0) - np.maximum(x - h * e, 0))).sum() / (2 * h) for e in np.eye(n)]
    return np.allclose(dx, numerical, atol=1e-6)


def odd_sizes():
    return all(np.array_equal(*run(twice, grid, n)[:2]) for grid in [(1, 1), (3, 5), (2, 32)] for n in (1, 7, 33, 100))


def same_bits():
    dy, y, runs = rng.standard_normal(50).astype("f"), rng.standard_normal(50).astype("f"), []
    for _ in range(3):
        dx = np.empty(50, "f")
        watch(twice, "relu_backward", (2, 4), dy, y, dx, 50)
        runs.append(dx.tobytes())
    return len(set(runs)) == 1


def not_a_number():
    dy, y, dx = np.float32([1, np.nan, 3]), np.float32([1, 1, 0]), np.empty(3, "f")
    watch(twice, "relu_backward", (2, 4), dy, y, dx, 3)
    return np.array_equal(dx, np.float32([1, np.nan, 0]), equal_nan=True)


tests = [values, gradients, odd_sizes, same_bits, not_a_number]
failing = [test.__name__ for test in tests if not test()]
bet("tests that fail", MY_BET, len(failing), "of 5")
assert not failing

notes = run(twice, (8, 16), 100)[2]
print("and the notes: every element is written", np.unique(notes.writes("dx")).tolist(), "times by 8 blocks")
assert (notes.writes("dx") == 8).all()

# %% [markdown]
# Writing the same number twice changes nothing that a test of values could see, and a race detector is content as well:
# both threads write the same. Only a count of the writes tells. That is why this project's tests watch every kernel,
# and ask for **one** write per element.
#
# ## 13.6 The sum that is no race, and the one that is
#
# In the backward pass of a maximum over windows a frame may have won several windows, and their gradients add up. Two
# plans: *gather* (a thread per frame asks all windows that could have seen it), or *scatter* (a thread per window adds
# to the frame that won). The second is shorter, and on a GPU two threads add to the same element at the same moment.

# %%
GATHER = source("layers/temporal.cu")
SCATTER = """
extern "C" __global__ void scatter(const REAL *dy, const unsigned short *winner, REAL *dx, int T, int D, int stride,
                                   int M, int n)
{
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x) {
        int d = k % D, m = k / D % M, clip = k / D / M;
        dx[(clip * T + m * stride + winner[k]) * D + d] += dy[k];
    }
}
"""
N, T, D, window, stride = 1, 14, 1, 6, 2
x = rng.permutation(N * T * D).reshape(N, T, D).astype(np.float32)
y, cache = temporal_max_forward(x, window, stride)
M = y.shape[1]
winner = np.ascontiguousarray(np.stack(cache[2], axis=1).astype(np.uint16))
dy = rng.standard_normal(y.shape).astype(np.float32)
expected = temporal_max_backward(dy, cache)

gathered = np.full(x.shape, np.nan, np.float32)
by_frame = watch(
    GATHER, "temporal_max_backward", (1, T * D), dy, winner, gathered, T, D, window, stride, M, gathered.size
)
scattered = np.zeros(x.shape, np.float32)
by_window = watch(SCATTER, "scatter", (1, M * D), dy, winner, scattered, T, D, stride, M, dy.size)
assert np.allclose(gathered, expected) and np.allclose(scattered, expected)

fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharex=True)
for ax, notes, title in zip(
    axes, (by_frame, by_window), ("gather: a thread per frame", "scatter: a thread per window"), strict=True
):
    writes = steps(notes, "dx") > 0
    collide = writes.sum(axis=0) > 1
    ax.imshow(writes * (1 + collide), cmap=ListedColormap(["white", "C0", "C3"]), vmin=0, vmax=2, aspect="auto")
    ax.set(
        title=f"{title}; an element is written {writes.sum(axis=0).max()}× at most",
        xlabel="frame of dx",
        ylabel="thread",
    )
plt.show()
assert by_frame.writes("dx").max() == 1 and by_window.writes("dx").max() > 1

# %% [markdown]
# **What to see:** on the left a diagonal, each frame is written by its own thread. On the right, red: frames that won
# more than one window, to which several threads add. On the host the threads run one after the other, and the sums are
# right; on a GPU each reads the old value, adds, writes, and one of the two sums is lost, sometimes. An `atomicAdd`
# would mend the sums, in an order that changes from run to run, and the last bits with it. The kernels of this project
# gather: no atomics, the same bits every time.
#
# ## 13.7 One step too far
#
# What is the commonest mistake costs a GPU program a crash, or worse, nothing: reading beside the array.

# %%
try:
    run(head + LOOP.replace("k < n", "k <= n") + tail, (2, 4))
except IndexError as error:
    print(error)
else:
    raise AssertionError("a read beside the array was not noticed")

# %% [markdown]
# ## Exercises
#
# Replace each `...`; the collapsed cell below each exercise compares with the truth.
#
# **1.** *Who am I?* In the grid-stride loop above, with so many blocks of so many threads: which elements below n does
# thread `thread` of block `block` compute? A list.


# %%
def elements_of(block, thread, blocks, threads, n):
    """-> list of element numbers."""
    ...


# %% jupyter={"source_hidden": true}
def watched_elements(block, thread, blocks, threads, n):
    arrays = (np.ones(n, np.float32) for _ in range(3))
    notes = watch(source("layers/relu.cu"), "relu_backward", (blocks, threads), *arrays, n).of("dx", 1)
    return notes["at"][(notes["block"] == block) & (notes["thread"] == thread)].tolist()


mark_same(1, elements_of, watched_elements, (1, 2, 2, 4, 27), (0, 0, 3, 5, 40), (2, 4, 3, 5, 20))

# %% [markdown]
# **2.** *Sectors by hand.* 32 threads read float32 elements `stride` apart, from element 0 on. How many sectors of 32
# bytes is that?


# %%
def sectors_of(stride):
    """-> number of sectors."""
    ...


# %% jupyter={"source_hidden": true}
mark_same(2, sectors_of, lambda s: len({4 * s * t // 32 for t in range(32)}), (1,), (2,), (3,), (8,), (64,))

# %% [markdown]
# **3.** Make the map of `temporal_max_forward` for N = 2, T = 6, D = 3. Which threads read the same elements, and is
# that a fault?
#
# **4.** Write a plan for 13.3 in which each thread takes every *second* element of its comb and then the others. Is
# each element written once? How many sectors?
#
# **Next:** `14_museum_of_bugs`.
