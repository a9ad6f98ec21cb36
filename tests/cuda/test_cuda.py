"""Everything on CuPy: on a GPU if there is one, else on a simulator of one ($CUDASIM_HOME), else skipped.

pytest -m cuda
"""

import dataclasses
import importlib
import os
import re
import sys

import flow_checks as flow
import numpy as np
import pytest
from contract import PROMISES, assert_close
from devices import (
    BUGS,
    LARGER,
    NUMPY_CHECKS,
    TOLERANCE,
    DeviceLayer,
    DeviceModule,
    checks_of,
    flow_like_numpys,
    larger,
    long_rows,
    planted,
    small_blocks,
    to_host,
    updates_like_numpys,
)
from layer_cases import CASES, Case, spaced
from oracle_checks_conv import conv
from oracle_table import CHECKS
from small_nets import name, net_and_clips

from snippets.layers.device.cu_source import ROOT, source
from snippets.layers.device.launch import launch
from snippets.layers.loss import softmax_loss_cuda
from snippets.training.objective import loss_and_gradient

pytestmark = pytest.mark.cuda


def module(name, cp):
    return DeviceModule(importlib.import_module(name), cp)


def simulated():
    return "cudasim" in sys.modules


@dataclasses.dataclass(frozen=True)
class DeviceCase(Case):
    """A case whose layer computes on the device."""

    cp: object = None

    def layer(self, module=None, seed=1):
        return DeviceLayer(super().layer(module, seed), self.cp)


def on_device(case, cp):
    return DeviceCase(**vars(case), cp=cp)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_promises(cp, case):
    for promise in PROMISES:
        promise(on_device(case, cp))


NUMPY_ONLY = (
    "snippets.layers.core.check",
    "snippets.layers.fast.fft",
    "snippets.layers.fast.winograd",
)  # the checker; ways to convolve that pay on a CPU
ON_DEVICE = [name for name in CHECKS if name.startswith("snippets.layers.") and name not in NUMPY_ONLY]
INSIDE = (flow.stopping, flow.between_sizes)  # replace functions inside of the module, which then get its own arrays


@pytest.mark.parametrize("name", ON_DEVICE)
def test_oracles(cp, name):
    for check in CHECKS[name]:
        if check not in NUMPY_CHECKS:
            check(module(name, cp))


@pytest.mark.parametrize("name", ["snippets.data.flow.warp", "snippets.data.flow.tvl1"])
def test_optical_flow(cp, name):
    for check in CHECKS[name]:
        if check not in INSIDE:
            check(module(name, cp))


def test_convolution_image_by_image(cp):
    with small_blocks():
        conv(module("snippets.layers.conv", cp))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", range(len(LARGER)), ids=lambda n: f"{LARGER[n][0][7:-3]}-{n}")
def test_larger_arrays(cp, number, dtype):
    larger(number, dtype, lambda layer: DeviceLayer(layer, cp))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_over_many_classes(cp, dtype):
    long_rows(dtype, module("snippets.layers.loss", cp).softmax_loss)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_iterations_of_optical_flow(cp, dtype):
    flow_like_numpys(dtype, module("snippets.data.flow.tvl1", cp).iterate)


def killer(bug, cp):
    """Whether a check fails with this bug in its kernels; a fault of the device is a failure too."""
    with planted(bug):
        try:
            for number, (about, *_) in enumerate(LARGER):
                if about == bug.file:
                    larger(number, np.float64, lambda layer: DeviceLayer(layer, cp))
            if bug.file == "data/flow/tvl1.cu":
                flow_like_numpys(np.float64, module("snippets.data.flow.tvl1", cp).iterate)
            if bug.file == "training/sgd.cu":
                updates_like_numpys(cp.asarray)
            if bug.file == "layers/loss.cu":
                long_rows(np.float64, module("snippets.layers.loss", cp).softmax_loss)
                assert not np.isfinite(float(softmax_loss_cuda(cp.zeros((1, 5)), cp.array([5]), cp.ones(1))[0]))
            for name, check in checks_of(bug.file, cp):
                check(module(name, cp))
        except (AssertionError, ValueError, IndexError, Warning, cp.cuda.driver.CUDADriverError):
            return True
    return False


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.file}: {bug.name}")
def test_planted_bug_is_killed(cp, bug):
    if not simulated():
        pytest.skip("some reach outside of an array, after which a real GPU answers nothing more in this process")
    assert killer(bug, cp), f"{bug.file} passes every check with this bug planted: {bug.name}"


COMPUTE = ("75", "80", "90", "120")
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("[ldt]*/**/*.cu"))


@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("file", FILES)
def test_kernels_compile_for_every_gpu_and_spill_nothing(cp, file, real):
    """NVRTC makes machine code for each compute capability with its own assembler, which tells spills.

    The toolkit's ptxas would not do: it reads no PTX of an NVRTC that is newer, as pip's may be.
    """
    for compute in COMPUTE:
        told = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", assembled(file, real, compute))
        assert told and set(told) == {("0", "0")}, f"{file} for sm_{compute}, {real}: {told}"


def assembled(file, real, compute):
    """What NVRTC's assembler says about the kernels of a file."""
    from cupy.cuda import nvrtc

    program = nvrtc.createProgram(source(file), file, [], [])
    try:
        nvrtc.compileProgram(program, ["-std=c++17", f"-DREAL={real}", f"-arch=sm_{compute}", "--ptxas-options=-v"])
        return nvrtc.getProgramLog(program)
    except nvrtc.NVRTCError:
        pytest.fail(f"{file} for sm_{compute}, {real}:\n{nvrtc.getProgramLog(program)}")
    finally:
        nvrtc.destroyProgram(program)


NETS = [
    dict(tower="alexnet"),
    dict(tower="googlenet"),
    dict(tower="alexnet", head="lstm"),
    dict(tower="googlenet", head="lstm"),
    dict(tower="features", features=8),
    dict(tower="features", features=8, head="lstm"),
]


def step_of(net, x, xp, dtype):
    """Scores, loss and gradients of one training pass, dropout and all, and what the trained net predicts."""
    net.convert(lambda a: xp.asarray(a, dtype))
    labels = np.array([3, 0])
    loss, scores, _, grads = loss_and_gradient(net, x.astype(dtype), labels, np.random.default_rng(4))
    return {"loss": np.asarray(to_host(loss)), "scores": to_host(scores), **to_host(grads)}


def net_of(config):
    """A small net and clips; features of order one, for gates fed with tens saturate and multiply rounding errors."""
    net, x = net_and_clips(T=3, **config)
    if "tower/linear/W" in net.params:
        net.params["tower/linear/W"] *= 0.03
    return net, x


def far_from_ties(config, shape):
    """Clips that bring no ReLU or maximum so close to changing its mind that float32's rounding decides: those for
    which NumPy's gradients in float32 are those in float64, and stay so when all pixels change by a millionth."""
    for seed in range(40):
        x = spaced(shape, seed)
        fine = step_of(net_of(config)[0], x, np, np.float64)
        for factor in (1, 1 + 1e-6, 1 - 1e-6, 1 + 2e-6):
            rough = step_of(net_of(config)[0], factor * x, np, np.float32)
            if any(np.abs(rough[key] - value).max() > 4e-6 * np.abs(value).max() for key, value in fine.items()):
                break
        else:
            return x
    raise AssertionError(f"none of 40 clips suits {config}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("config", NETS, ids=name)
def test_whole_nets_agree_with_numpy(cp, config, dtype):
    (net, x), (there, _) = net_of(config), net_of(config)
    if dtype == np.float32:
        x = far_from_ties(config, x.shape)
    wanted, got = step_of(net, x, np, dtype), step_of(there, x, cp, dtype)
    for key, value in wanted.items():
        assert key == "loss" or got[key].dtype == value.dtype
        assert_close(got[key], value, key, rtol=TOLERANCE[dtype])
    assert_close(to_host(there.predict(cp.asarray(x, dtype))), net.predict(x.astype(dtype)), "p", TOLERANCE[dtype])


@pytest.mark.skipif("CUDASIM_RACECHECK" not in os.environ, reason="asks what a simulated GPU's race checker says")
def test_a_race_is_told_from_an_access_of_16384_launches_ago(cp, tmp_path):
    """It counts launches modulo that, and kept its records for longer (tests/kit/simulator.py)."""
    y, before = cp.zeros(513), cp.zeros(1)

    def add(first):
        launch("layers/relu.cu", "add_bias", 512, y[first : first + 512], cp.ones(1), 0, 1, 512)

    add(0)
    for _ in range(16384 - 2):
        before += 1  # a launch; cp.ones was one, too
    add(1)  # every thread at what its neighbour wrote then
    assert to_host(y).tolist() == [1] + 511 * [2] + [1]
    (tmp_path / "race.cu").write_text("""extern "C" __global__ void race(REAL *y) { y[0] = threadIdx.x; }""")
    with pytest.raises(cp.cuda.driver.CUDADriverError, match="data race in kernel race"):
        launch(tmp_path / "race.cu", "race", 64, y)
