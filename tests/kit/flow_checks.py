"""Optical flow held against the oracles and against known motion; see oracle_table.py."""

import numpy as np
import oracles_flow
import pytest
from contract import assert_close

from snippets.data.augment import Crop

TAU, LAM, THETA = 0.2, 0.15, 0.4  # not the defaults, and tau / theta = 1/2


def texture(y, x, seed=0):
    """A smooth picture, 0 to 255, at any place: waves of 8 to 40 pixels in all directions."""
    rng = np.random.default_rng(seed)
    total = np.zeros(np.broadcast(y, x).shape)
    for _ in range(24):
        length, angle, phase = rng.uniform(8, 40), rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
        total += np.sin(2 * np.pi / length * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return 127.5 + 127.5 * np.tanh(total / 6)


def moved(u, v, H=48, W=64, seed=0):
    """Two frames (1, H, W) float32 of that picture, which moves u pixels to the right and v down between them."""
    y, x = np.mgrid[:H, :W]
    return tuple(texture(y - k * v, x - k * u, seed)[None].astype(np.float32) for k in (0, 1))


def images(seed=0, H=7, W=9):
    return np.random.default_rng(seed).uniform(0, 255, (2, H, W))


def flow_field(seed=1, H=7, W=9, size=2.0):
    """(2, N, H, W): some of it points out of the frame."""
    return size * np.random.default_rng(seed).standard_normal((2, 2, H, W))


def warp(module):
    """Value, both derivatives (by differences of the oracle) and the mask of every pixel of two images."""
    image, u = images(), flow_field()
    value, dx, dy, inside = module.warp(image, u)
    want, h = np.empty((4, *image.shape)), 1e-6
    for n, y, x in np.ndindex(image.shape):
        px, py = x + u[0, n, y, x], y + u[1, n, y, x]
        want[3, n, y, x] = 0 <= px <= 8 and 0 <= py <= 6
        want[0, n, y, x] = oracles_flow.sample(image[n], px, py)
        px, py = min(max(px, 0), 8), min(max(py, 0), 6)
        wide = np.pad(image[n], 2, mode="edge")  # so that a difference across the border is one of the picture
        here = px + 2, py + 2
        want[1, n, y, x] = slope(wide, *here, h, 0)
        want[2, n, y, x] = slope(wide, *here, 0, h)
    assert 0.2 < want[3].mean() < 0.9
    for got, wanted, name in zip((value, dx, dy, inside), want, ("value", "dx", "dy", "inside"), strict=True):
        assert_close(got.astype(float), wanted, name, rtol=1e-6)
    still = module.warp(image, np.zeros_like(u))
    assert_close(still[0], image, "unmoved")
    for right, down in ((0, 0), (1, 0), (-1, 0), (0, 2), (0, -2)):  # to the pixels at the very edge, and beyond
        shift = np.broadcast_to(np.float64([right, down])[:, None, None, None], u.shape)
        here = np.zeros((7, 9), bool)
        here[max(0, -down) : 7 - max(0, down), max(0, -right) : 9 - max(0, right)] = True
        np.testing.assert_array_equal(module.warp(image, shift)[3], np.stack([here, here]))
    assert_close(still[1][:, :, 1:-1], (image[:, :, 2:] - image[:, :, :-2]) / 2, "central difference")


def slope(image, x, y, hx, hy):
    return (oracles_flow.sample(image, x + hx, y + hy) - oracles_flow.sample(image, x - hx, y - hy)) / (2 * (hx + hy))


def resize(module):
    for size in ((5, 8), (11, 12), (7, 4)):
        want = np.stack([oracles_flow.bilinear(image, size) for image in images()])
        assert_close(module.resize(images(), size), want, f"resized to {size}")
    assert module.resize(images().astype(np.float32), (5, 8)).dtype == np.float32


def smooth_and_median(module):
    image, weights = images(), np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    blurred, middle = np.empty_like(image), np.empty_like(image)
    for n, y, x in np.ndindex(image.shape):
        blurred[n, y, x] = (weights * oracles_flow.around(image[n], y, x, 2)).sum()
        middle[n, y, x] = np.median(oracles_flow.around(image[n], y, x, 1))
    kept = image.copy()
    assert_close(module.smooth(image), blurred, "smooth")
    assert_close(module.median(image), middle, "median")
    assert_close(module.median(np.stack([image, -image])), np.stack([middle, -middle]), "median of a flow")
    np.testing.assert_array_equal(image, kept)


def iterate(module):
    """Three iterations on two pairs at once, from dual variables that are not zero, in all three cases."""
    rng, (N, H, W), s = np.random.default_rng(3), (2, 5, 6), TAU / THETA
    u, p = 2 * rng.standard_normal((2, N, H, W)), rng.uniform(-0.7, 0.7, (2, 2, N, H, W))  # p: directions, components
    p[0, ..., -1] = p[1, ..., -1, :] = 0
    rho0, g = rng.standard_normal((N, H, W)), rng.standard_normal((2, N, H, W))
    at = rho0 + (g * u).sum(axis=0)
    cases = np.sign(at) * (abs(at) > LAM * THETA * (g * g).sum(axis=0))
    assert set(np.unique(cases)) == {-1, 0, 1}
    w, q, J = s * u, p.copy(), s * g
    for _ in range(3):
        before = w.copy()
        change = module.iterate(w, q, (J, s**2 * rho0, 1 / (J * J).sum(axis=0)), TAU, LAM * THETA, look=True)
        assert_close(change, ((w - before) ** 2).sum(axis=(0, 2, 3)), "change")
    for n in range(N):
        want_u, want_p = u[:, n], p[:, :, n].swapaxes(0, 1)
        for _ in range(3):
            want_u, want_p = oracles_flow.iteration(want_u, want_p, rho0[n], g[:, n], TAU, LAM, THETA)
        assert_close(w[:, n] / s, want_u, "u")
        assert_close(q[:, :, n].swapaxes(0, 1), want_p, "p")
    assert module.iterate(w, q, (J, rho0, rho0), TAU, LAM) is None
    with pytest.raises(ValueError, match="must be C-contiguous"):
        module.iterate(w.swapaxes(2, 3), q, (J, rho0, rho0), TAU, LAM)


def energy(module):
    I0, I1, u = images(), images(4), np.moveaxis(flow_field(), 0, -1)
    want = [oracles_flow.energy(*pair, 0.3) for pair in zip(I0, I1, u, strict=True)]
    assert_close(module.energy(I0, I1, u, 0.3), np.array(want), "energy")


def known_motion(module):
    """Translations by parts of pixels and by more than a pixel: right to a tenth of a pixel, away from the borders."""
    for u, v in ((0.4, -0.7), (3.0, 1.5), (-6.0, 4.0)):
        found = module.tvl1(*moved(u, v))[0, 8:-8, 8:-8]
        error = np.hypot(found[..., 0] - u, found[..., 1] - v).mean()
        assert error < 0.1, f"motion ({u}, {v}): end-point error {error:.3f} pixels"
    still = moved(0, 0)
    np.testing.assert_array_equal(module.tvl1(*still), 0)


def each_pair_alone(module):
    """The same bits alone and in a batch whose pairs end at different iterations; float64 stays float64."""
    pairs = [moved(u, v, 24, 40, seed) for seed, (u, v) in enumerate([(0, 0), (1.5, 0), (-0.2, 2), (5, 5), (0.1, 0)])]
    I0, I1 = (np.concatenate(side) for side in zip(*pairs, strict=True))
    settings = module.TVL1(scales=2, warps=2)
    together = module.tvl1(I0, I1, settings, threads=2)
    for n, (a, b) in enumerate(pairs):
        np.testing.assert_array_equal(module.tvl1(a, b, settings)[0], together[n])
    double = module.tvl1(I0.astype(float), I1.astype(float), settings)
    assert together.dtype == np.float32 and double.dtype == np.float64
    assert abs(double - together).max() < 0.05
    assert module.tvl1(I0.astype(np.uint8)[:0], I1.astype(np.uint8)[:0]).shape == (0, 24, 40, 2)


def stopping(module):
    """It goes on while u changes by more than epsilon and no longer, and does no more than `iterations`."""
    a, b = moved(2.0, 1.0, 24, 40)
    u, p, calls, iterate = np.zeros((2, 1, 24, 40), np.float32), np.zeros((2, 2, 1, 24, 40), np.float32), [], None

    def run(**settings):
        calls.clear()
        module._solve(a, b, u.copy(), p.copy(), module.TVL1(tau=0.05, **settings))
        return len(calls)

    def counting(*arguments):
        change = iterate(*arguments)
        calls.append(change)
        return change

    iterate, module.iterate = module.iterate, counting
    try:
        assert run(epsilon=0.0, iterations=50) == 50
        n = run(epsilon=0.01)
        assert n % module.CHECK == 0 and 0 < n < 300
        s = 0.05 / 0.3
        rms = [float(np.sqrt(change[0] / a.size) / s) for change in calls if change is not None]
        assert rms[-1] <= 0.01 and all(value > 0.01 for value in rms[:-1])
        assert run(epsilon=1e3) == module.CHECK
    finally:
        module.iterate = iterate


def between_sizes(module):
    """What a smaller pair finds is the first guess of the next one, in the pixels of that; p begins again at zero."""
    seen, solve, frames = [], module._solve, moved(1, 1, 36, 60)

    def finding(I0, I1, u, p, settings):
        seen.append((I0, I1, u.copy(), p.any()))
        u[:] = np.float32([3, 2])[:, None, None, None]
        p[:] = 1

    module._solve = finding
    try:
        found = module.tvl1(*frames, module.TVL1(scales=9, warps=1, step=0.6))
        (*small, u, _), (*large, v, _) = seen  # the third one would be below 16 pixels
        module.tvl1(*frames, module.TVL1(scales=2, warps=1, step=0.7))
        sizes = [I0.shape[1:] for I0, *_ in seen[2:]]
    finally:
        module._solve = solve
    assert sizes == [(25, 42), (36, 60)]  # (18, 29) would be large enough, but is one too many
    for frame, little, full in zip(frames, small, large, strict=True):
        np.testing.assert_array_equal(full, frame)
        assert_close(little, module.resize(module.smooth(frame), (22, 36)), "smaller frame")
    assert not u.any() and not any(p for *_, p in seen)
    assert_close(v[:, 0], np.broadcast_to([[[3 * 60 / 36]], [[2 * 36 / 22]]], (2, 36, 60)), "first guess", rtol=1e-6)
    np.testing.assert_array_equal(found, np.broadcast_to([3, 2], (1, 36, 60, 2)))


def parameters(module):
    assert module.TVL1.parse("") == module.TVL1() == module.TVL1(0.25, 0.15, 0.3, 13, 5, 0.01, 300, 0.8)
    assert module.TVL1.parse("warps=3, lam=0.2 epsilon=0.02") == module.TVL1(warps=3, lam=0.2, epsilon=0.02)
    for text in ("warp=3", "warps=three", "warps", "warps=2.5"):
        with pytest.raises(ValueError, match="is no parameter; expected some of tau=0.25,lam=0.15"):
            module.TVL1.parse(text)
    for name, value in (("tau", 0.3), ("tau", 0.0), ("lam", -1.0), ("theta", 0.0), ("step", 1.0), ("scales", 0)):
        with pytest.raises(ValueError, match=f"{name} is {value}, expected"):
            module.TVL1(**{name: value})
    with pytest.raises(ValueError, match="epsilon is nan"):
        module.TVL1(epsilon=float("nan"))
    with pytest.raises(ValueError, match=r"flow from frames \(2, 7, 9\) to \(2, 7, 8\)"):
        module.tvl1(images(), images()[..., 1:])


def quantising(module):
    u = np.array([0.0, -40, 40, -41, 1e6, 10, -10, 0.16, -0.16])
    assert module.quantise(u).tolist() == [128, 0, 255, 0, 255, 159, 96, 128, 127]
    assert module.quantise(u, 20.0).tolist() == [128, 0, 255, 0, 255, 191, 64, 129, 126]
    u = np.linspace(-40, 40, 1001)
    for bound in (40.0, 50.0):
        assert abs(module.dequantise(module.quantise(u, bound), bound) - u).max() < bound / 255 + 1e-5
    assert module.dequantise(np.uint8([0, 255])).tolist() == [-40, 40]
    np.testing.assert_allclose(module.GREY.sum(), 1, rtol=1e-6)


def flow_colours(module):
    """White at rest; red to the right, its opposite to the left; no motion is brighter than full."""
    u = np.array([[0.0, 0.0], [2, 0], [-2, 0], [1, 0], [20, 0], [0, 2]])
    rest, right, left, half, far, down = module.colours(u, 2.0).astype(int)
    assert rest.tolist() == [255] * 3 and right.tolist() == far.tolist() == [255, 64, 64]
    assert left.tolist() == [0, 191, 191] and (rest > half).sum() == 2 and (half >= right).all()
    assert down[1] > down[0] > down[2]
    assert module.colours(np.zeros((3, 2))).min() == 255
    assert (module.colours(u) == module.colours(u, np.hypot(*u.T).max())).all()  # the largest there is


def flow_crop(module):
    """A flow image is mirrored with its motion, and its third channel is zero after the mean is subtracted."""
    video = np.random.default_rng(0).integers(0, 256, (3, 6, 7, 2), np.uint8)
    x, mirrored = (module.cut(video, slice(1, 3), Crop(1, 2, 4, flip), 100.0, 50.0) for flip in (False, True))
    part = video[1:3, 1:5, 2:6].astype(np.float32)
    assert x.shape == mirrored.shape == (2, 4, 4, 3) and x.dtype == mirrored.dtype == np.float32
    np.testing.assert_array_equal(x[..., :2], (part - 100) / 50)
    np.testing.assert_array_equal(mirrored[..., 0], (255 - part[:, :, ::-1, 0] - 100) / 50)
    np.testing.assert_array_equal(mirrored[..., 1], (part[:, :, ::-1, 1] - 100) / 50)
    assert not x[..., 2].any() and not mirrored[..., 2].any()
    frames = np.repeat(video[..., :1], 3, axis=-1)  # of three channels: no flow, nothing is negated
    np.testing.assert_array_equal(module.cut(frames, slice(0, 1), Crop(0, 0, 6, True), 0.0, 1.0), frames[:1, :, 5::-1])


CHECKS = {
    "snippets.data.flow.warp": [warp, resize, smooth_and_median],
    "snippets.data.flow.tvl1": [iterate, energy, known_motion, each_pair_alone, stopping, between_sizes, parameters],
    "snippets.data.flow.images": [quantising, flow_colours],
    "snippets.data.augment": [flow_crop],
}
