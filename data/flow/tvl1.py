r"""Optical flow by TV-L1 (Zach, Pock and Bischof, 2007): where does each pixel of a frame go in the next one?

The flow u = (u1, u2), in pixels to the right and down, makes the frames I0 and I1 agree and is smooth but for edges:

    E(u) = sum_x |grad u1| + |grad u2| + lam |rho(u)|        rho(u) = I1(x + u) - I0(x),   intensities 0 to 255

Around a flow u0 the image is taken as linear, rho(u) = I1(x + u0) + <grad I1(x + u0), u - u0> - I0(x), and a copy v
of u that may differ from it a little, by |u - v|^2 / (2 theta), parts the two terms of E. Each is solved on its own:

    v = u - t grad I1,    t = clip(rho(u) / |grad I1|^2, -lam theta, lam theta)        the data, pixel by pixel
    u_d = v_d + theta div p_d,                                                         the smoothness, by Chambolle's
    p_d <- (p_d + tau/theta grad u_d) / (1 + tau/theta |grad u_d|),   d = 1, 2         dual variables |p_d| <= 1

grad is by forward differences, 0 in the last column or row; div = -grad^T by backward ones. These three lines are one
iteration. After some the image is warped again, around the new u; and all of it begins on the frames made small, where
motion is short, whose flow is the first guess for the next larger ones: 40 pixels, as far as flow images reach, are 2.7
in the smallest of 13 sizes, each 0.8 of the one before. Before each warp a median of 3x3 pixels takes
out single wrong vectors, and where x + u lies outside the frame there is no data term.

In the unit w = s u, with J = s grad I1 and s = tau/theta, the constants go away, and that is what `iterate` computes:

    t = clip((c + <J, w>) / |J|^2, -lam theta, lam theta)        c = s^2 (I1(x + u0) - I0) - <J, s u0>
    w_d <- w_d - t J_d + tau div p_d
    p_d <- (p_d + grad w_d) / (1 + |grad w_d|)

The images of a batch follow each other in memory, row by row. p is 0 in the last column and row, so the element before
a first column, or above a first row, is 0 as well: all differences are those of one long vector.
"""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from snippets.data.flow.warp import median, resize, smooth, warp
from snippets.data.options import Options, option
from snippets.layers.device.launch import launch
from snippets.layers.device.xp import on_gpu, scratch, usable_cores, xp_of

CHUNK = 320_000  # pixels that a thread computes at a time: in short calls, threads wait for each other
CHECK = 20  # iterations between two checks of how much u still changes
LEAST = 16  # pixels of the shorter side, below which frames are made no smaller


@dataclasses.dataclass(frozen=True)
class TVL1(Options):
    """The parameters, named as in the module's docstring; other ones give another flow."""

    tau: float = option(0.25, "step of the dual variables", above=0, most=0.25)
    lam: float = option(0.15, "lambda, the weight of the data term; smaller is smoother", above=0, most=1e6)
    theta: float = option(0.3, "how tightly u and v are tied together; smaller is tighter", above=0, most=1e6)
    scales: int = option(13, "sizes of the frames, the full one included, at most", least=1, most=1e3)
    warps: int = option(5, "warps at each size", least=1, most=1e4)
    epsilon: float = option(
        0.01, "a warp ends when u changes by less per iteration, root mean square, pixels", least=0, most=1e4
    )
    iterations: int = option(300, "iterations per warp, at most", least=1, most=1e6)
    step: float = option(0.8, "ratio of one size to the next", above=0, most=0.95)

    @classmethod
    def parse(cls, text):
        """From text such as "warps=3,epsilon=0.02", the rest as by default. ValueError says what is wrong."""
        kinds, given = {field.name: field.type for field in dataclasses.fields(cls)}, {}
        for part in filter(None, text.replace(",", " ").split()):
            name, _, value = part.partition("=")
            try:
                given[name] = kinds[name](value)
            except (KeyError, ValueError):
                raise ValueError(f"TV-L1: {part!r} is no parameter; expected some of {cls()}") from None
        return cls(**given)

    def __str__(self):
        """All of them, as `parse` takes them."""
        return ",".join(f"{name}={value}" for name, value in dataclasses.asdict(self).items())


def tvl1(I0, I1, settings=None, threads=None):
    """The flow (N, H, W, 2), in pixels, from each frame of I0 to that of I1: (N, H, W), grey, 0 to 255.

    float32, or float64 for float64 frames. The flow of a pair does not depend on the rest of the batch. threads: None
    for all cores; arrays on a GPU are computed in one call.
    """
    if I0.shape != I1.shape or I0.ndim != 3 or min(I0.shape[1:]) < 4:
        raise ValueError(f"flow from frames {I0.shape} to {I1.shape}: expected the same (N, H, W), grey, 4x4 at least")
    xp, settings = xp_of(I0), settings or TVL1()
    dtype = np.float64 if I0.dtype == np.float64 else np.float32
    if len(I0) == 0:
        return xp.empty((*I0.shape, 2), dtype)
    if xp is not np:
        return _pyramid(I0.astype(dtype), I1.astype(dtype), settings)
    u, threads = np.empty((*I0.shape, 2), dtype), threads or usable_cores()
    chunk = min(pairs_at_once(*I0.shape[1:]), -(-len(I0) // threads))

    def work(first):
        cut = slice(first, first + chunk)
        u[cut] = _pyramid(I0[cut].astype(dtype), I1[cut].astype(dtype), settings)

    with ThreadPoolExecutor(threads, thread_name_prefix="snippets-flow") as pool:
        list(pool.map(work, range(0, len(I0), chunk)))
    return u


def pairs_at_once(H, W):
    """How many pairs of frames make a good call for one thread."""
    return max(1, CHUNK // (H * W))


def _pyramid(I0, I1, settings):
    """From the smallest frames to the largest."""
    xp, small = xp_of(I0), [(I0, I1)]
    while len(small) < settings.scales and min(small[-1][0].shape[1:]) * settings.step >= LEAST:
        size = [round(n * settings.step) for n in small[-1][0].shape[1:]]
        small.append(tuple(resize(smooth(image), size) for image in small[-1]))
    u = xp.zeros((2, *small[-1][0].shape), I0.dtype)
    for I0, I1 in reversed(small):
        (h, w), (H, W) = u.shape[2:], I0.shape[1:]
        if (h, w) != (H, W):
            u = xp.stack([resize(u[0], (H, W)) * (W / w), resize(u[1], (H, W)) * (H / h)]).astype(I0.dtype)
        p = xp.zeros((2, 2, *I0.shape), I0.dtype)
        for _ in range(settings.warps):
            u = median(u)
            _solve(I0, I1, u, p, settings)
    return xp.ascontiguousarray(xp.moveaxis(u, 0, -1))


def _solve(I0, I1, u, p, settings):
    """Iterations around the flow u (2, N, H, W) given, into u and p (2, 2, N, H, W)."""
    xp, s = xp_of(u), settings.tau / settings.theta
    warped, Ix, Iy, inside = warp(I1, u)
    w, J = s * u, s * xp.stack([Ix, Iy])
    c = s**2 * (warped - I0) - (J * w).sum(axis=0)
    r = inside / xp.maximum((J * J).sum(axis=0), 1e-8)
    state = [z.astype(u.dtype) for z in (w, p, J, c, r)]
    pairs, pixels = np.arange(u.shape[1]), u[0, 0].size
    for n in range(1, settings.iterations + 1):
        look = n % CHECK == 0 or n == settings.iterations
        change = iterate(state[0], state[1], state[2:], settings.tau, settings.lam * settings.theta, look)
        if not look:
            continue
        moving = (change > (s * settings.epsilon) ** 2 * pixels) & (n < settings.iterations)
        moving = moving if xp is np else moving.get()
        if not moving.all():  # the others continue without them
            ready, left = xp.asarray(np.flatnonzero(~moving)), xp.asarray(np.flatnonzero(moving))
            at = xp.asarray(pairs[~moving])
            u[:, at], p[:, :, at] = state[0][:, ready] / s, state[1][:, :, ready]
            if not len(left):
                return
            # take and not z[:, left], which would put the axes into another order in memory
            pairs, state = pairs[moving], [xp.take(z, left, axis=-3) for z in state]


def iterate(w, p, data, tau, limit, look=False):
    """One iteration, in place: w (2, N, H, W) and p (2, 2, N, H, W), p[0] to the right and p[1] down, contiguous.

    data: J (2, N, H, W), c (N, H, W) and r = 1 / |J|^2; limit = lam theta: see the module's docstring. With look: the
    sum over each pair's pixels of the squared change of w, (N,); else None.
    """
    J, c, r = data
    if not all(z.flags.c_contiguous for z in (w, p)):
        raise ValueError("iterate: w and p must be C-contiguous; a copy would be changed in their place")
    xp, (_, N, H, W) = xp_of(w), w.shape
    if on_gpu(w):
        change = xp.empty((N, H * W), w.dtype)
        n = change.size
        launch("data/flow/tvl1.cu", "tvl1_primal", n, w, p, J, c, r, change, look, tau, limit, W, n)
        launch("data/flow/tvl1.cu", "tvl1_dual", n, w, p, H, W, n)
        return change.sum(axis=1) if look else None
    buffers = scratch("tvl1", (5, N, H, W), w.dtype, xp)
    t, a, b = buffers[0], buffers[1:3], buffers[3:]
    xp.multiply(J, w, out=a)
    xp.add(a[0], a[1], out=t)
    t += c
    t *= r
    xp.clip(t, -limit, limit, out=t)
    long_w, right, down, long_a, long_b = (z.reshape(-1) for z in (w, p[0], p[1], a, b))
    xp.add(right, down, out=long_a)  # a: div p
    long_a[1:] -= right[:-1]
    long_a[W:] -= down[:-W]
    a *= tau
    xp.multiply(t, J, out=b)
    a -= b
    w += a
    change = xp.einsum("dnhw,dnhw->n", a, a) if look else None
    xp.subtract(long_w[1:], long_w[:-1], out=long_a[:-1])  # a, b: grad w
    xp.subtract(long_w[W:], long_w[:-W], out=long_b[:-W])
    a[..., -1] = 0
    b[..., -1, :] = 0
    p[0] += a
    p[1] += b
    a *= a
    b *= b
    a += b
    xp.sqrt(a, out=a)
    a += 1
    p /= a
    return change


def energy(I0, I1, u, lam=TVL1.lam):
    """E(u) per pixel, of each pair: (N,) float64, for frames (N, H, W), 0 to 255, and a flow (N, H, W, 2)."""
    xp = xp_of(u)
    u = xp.ascontiguousarray(xp.moveaxis(u.astype(np.float64), -1, 0))  # (2, N, H, W)
    E = lam * abs(warp(I1.astype(np.float64), u)[0] - I0)
    for d in u:
        right, down = xp.diff(d, axis=2, append=d[:, :, -1:]), xp.diff(d, axis=1, append=d[:, -1:])
        E += xp.sqrt(right**2 + down**2)
    return E.mean(axis=(1, 2))
