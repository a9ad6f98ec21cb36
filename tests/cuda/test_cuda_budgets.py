"""Fast by construction: launches, copies, waits and memory traffic of training steps, counted on the simulator."""

import importlib
import sys

import gpu_budget
import pytest
from cuda_nets import NETS, clips_for
from flow_checks import moved

from snippets.data.flow.tvl1 import CHECK, TVL1, tvl1
from snippets.nets.zoo import NetConfig, build
from snippets.training import step
from snippets.training.loop import train
from snippets.training.parameters import move_to_device
from snippets.training.settings import Settings

pytestmark = pytest.mark.cuda

REREAD = {  # kernels that fetch more than 1.5 times what they must, by a count that knows no caches, and why
    "im2col": "a pixel stands in up to k x k rows of cols; neighbours read it at nearly the same time, from the cache",
    "max_pool_forward": "windows of 3 x 3 overlap: 9 reads with stride 1, 9/4 with stride 2, from the cache",
    "max_pool_backward": "as many windows are asked for each input, and their winners",
    "temporal_max_backward": "y and its winner are read once for each frame, from the cache",
    "softmax_loss": "a row is read for its maximum, its sum and its gradient; it stays in the cache",
    "add_bias": "each row reads the biases, which stay in the cache",
    "peephole_grads": "c is read by the gates that look at it",
    "gates_forward": "each clip reads biases and peepholes",
    "gates_backward": "each clip reads the peepholes",
    "tvl1_primal": "p is read by the pixel to the right and the one below, too, from the cache",
    "tvl1_dual": "so is w by the pixel to the left and the one above",
}


@pytest.fixture
def simulator(cp):
    """The simulator with CuPy's memory pool, as on a GPU; on a GPU nothing can be counted."""
    if "cudasim" not in sys.modules:
        pytest.skip("counts need the simulator ($CUDASIM_HOME)")
    before, pool = cp.cuda.get_allocator(), cp.cuda.MemoryPool()
    cp.cuda.set_allocator(pool.malloc)
    yield importlib.import_module("cudasim"), pool
    cp.cuda.set_allocator(before)


@pytest.mark.parametrize(
    "config",
    [
        NetConfig(**gpu_budget.GOOGLENET, frames=30, size=32, width=0.25, fc=64),
        NetConfig(**gpu_budget.DEEP_LSTM),
    ],
    ids=["googlenet", "lstm"],
)
def test_a_step_launches_hardly_more_than_it_must(cp, simulator, config):
    p = gpu_budget.profile(config, cp)
    least = gpu_budget.fewest(p)
    products = {"googlenet": 3 * 57 - 1 + 4 * 3, "features": 5 * (30 + 30 + 4) + 3}[config.tower]
    assert least["matrix products"] == products
    ours = p.launches + products
    assert ours <= 1.3 * sum(least.values()), f"{ours} launches, at least {least}\n{p.table()}"
    assert sum(p.syncs.values()) == 0 and p.copies["D2H"].count == 0 and p.copies["H2D"].count == 0


@pytest.mark.parametrize("head", NETS)
def test_a_steady_step_waits_for_nothing(cp, simulator, head, monkeypatch):
    """Between two looks at the loss: one copy each of clips and labels, no wait, nothing back, no new memory."""
    cudasim, pool = simulator
    seen, real = [], step.loss_and_gradient

    def watched(*args):
        copies = p.copies
        seen.append(
            (
                copies["H2D"].count, copies["H2D"].bytes, copies["D2H"].count, sum(p.syncs.values()),
                pool.total_bytes(), p.allocations,
            )
        )  # fmt: skip
        return real(*args)

    monkeypatch.setattr(step, "loss_and_gradient", watched)
    data = clips_for(NETS[head])
    net = move_to_device(build(NETS[head]), "cuda")
    with cudasim.profile() as p:
        train(net, data, Settings(1, 1), progress=False)
    assert len(seen) == 8
    for before, after in zip(seen[2:], seen[3:], strict=False):
        h2d, sent, d2h, waits, held, allocations = (b - a for a, b in zip(before, after, strict=True))
        assert (h2d, sent) == (2, data.x[0].nbytes + data.labels[:1].nbytes)
        assert (d2h, waits, held, allocations) == (0, 0, 0, 0)


def traffic_is_coalesced(p):
    ours = {name: k for name, k in p.kernels.items() if not name.startswith(("cupy_", "_Z"))}
    assert ours
    for name, k in ours.items():
        assert k.efficiency >= 0.9, f"{name}: efficiency {k.efficiency:.3f} in {k.sites}"
        assert k.rereads <= 1.5 or name in REREAD, f"{name}: rereads {k.rereads:.2f}"


def test_memory_traffic_of_the_lstm(cp, simulator):
    config = NetConfig(**{**gpu_budget.DEEP_LSTM, "frames": 3, "classes": 487}, depth=2)
    traffic_is_coalesced(gpu_budget.profile(config, cp, memory=True, warm=0))


def test_memory_traffic_and_modelled_floor_of_googlenet(cp, simulator):
    """Full width, 220 pixels; the time that the simulator's model gives us, and that of the network's own work."""
    table, p = gpu_budget.floors(cp, frames=64)
    traffic_is_coalesced(p)
    ours, own = (sum(seconds) for seconds in zip(*table.values(), strict=True))
    assert ours <= 1.4 * own, table
    fused = own - table["bias and ReLU"][1]  # if the products did this in passing, as cuDNN's do
    assert ours <= 1.4 * fused, table


def test_an_iteration_of_optical_flow_is_two_launches(cp, simulator):
    """And between two looks at how much changes the host waits for nothing."""
    cudasim, _ = simulator
    I0, I1 = (cp.asarray(frame) for frame in moved(2, 1))
    with cudasim.profile(memory=True) as p:
        tvl1(I0, I1, TVL1(scales=1, warps=1, iterations=2 * CHECK, epsilon=0))
    for name in ("tvl1_primal", "tvl1_dual"):
        kernel = p.kernels[name]
        assert kernel.launches == 2 * CHECK and kernel.efficiency >= 0.9, f"{name}\n{p.table()}"
        assert kernel.rereads <= 1.5 or name in REREAD, f"{name}: {kernel.rereads}"
    assert p.copies["D2H"].count == 2, p.table()
