"""PyTorch's side of `snippets bench`. Needs the package torch; imported only when it is asked for.

Each job here takes the arguments of its counterpart in `training.bench.jobs`, see JOBS, and a `Place`. Images are NCHW
in memory, torch's default, unless channels_last; torch gets as many threads as we use. Where it is compiled, its
compiler (TorchInductor) makes C++ of the networks and the loss, and SGD is torch's fused one. On a GPU cuDNN may choose
its fastest convolutions, and float32 is rounded for tensor cores only where CuPy's is.

What TorchInductor made in another run it takes again, even if the processor's instructions were restricted there
(ATEN_CPU_CAPABILITY) and are not here; the two do not fit together, and the program ends with "double free or
corruption". So every run keeps what it compiles in a folder of its own.
"""

import os
import tempfile
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from snippets.layers.device.xp import usable_cores
from snippets.training.bench import jobs
from snippets.training.bench.gpu import tf32
from snippets.training.bench.jobs import LR, Workload, gives_dx
from snippets.training.bench.torch_twins import as_ours, shared, twin
from snippets.training.objective import Weighting

COMPILED = tempfile.TemporaryDirectory(prefix="snippets-bench-", ignore_cleanup_errors=True)  # gone with the program
os.environ["TORCHINDUCTOR_CACHE_DIR"] = COMPILED.name
torch.set_num_threads(usable_cores())
torch.backends.cudnn.benchmark = True
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32()


class Place(NamedTuple):
    """Where and how torch keeps images and filters, and whether it compiles what it runs."""

    channels_last: bool = False
    device: str = "cpu"
    compiled: bool = False

    def tensor(self, a):
        """Our array as torch has it: (..., H, W, C) becomes (..., C, H, W), in memory too unless channels_last."""
        t = torch.from_numpy(a)
        if a.ndim >= 4:
            t = t.movedim(-1, -3) if self.channels_last else t.movedim(-1, -3).contiguous()
        return t.to(self.device)

    def twin(self, layer):
        """The module that computes what our layer does."""
        return twin(layer, self.channels_last).to(self.device)

    def compile(self, run):
        """A module or a function, compiled at its first call if this place compiles, for the shapes of that call."""
        if not self.compiled:
            return run
        torch._dynamo.reset()  # what other rows compiled counts towards a limit
        return torch.compile(run, dynamic=False)


def array(t):
    """Maps or features back again, as a NumPy array."""
    a = t.detach().cpu().numpy()
    return a if a.ndim < 4 else np.moveaxis(a, -3, -1)


def whole(layer, x, dy=None, rng=None, *, place):
    """One pass of a layer or network, or a pass forward and backward, and of `frames`."""
    module, x = place.twin(layer).train(rng is not None), place.tensor(x)
    run = place.compile(module)

    def forward():
        with torch.inference_mode():
            return run(x)

    if dy is None:
        return Workload(forward, lambda: {"y": array(forward())})
    dy = place.tensor(dy)
    x.requires_grad_(gives_dx(layer))

    def both():
        x.grad = None
        module.zero_grad()
        y = run(x)
        y.backward(dy)
        return y

    def results():
        y = both()
        dx = {"dx": array(x.grad)} if gives_dx(layer) else {}
        return {"y": array(y), **dx, **{key: as_ours(p.grad) for key, p in shared(module)}}

    return Workload(both, results)


def video(net, x, times, *, place):
    """The tower takes a block at a time, for all frames' maps at once need more memory than most machines have."""
    (tower, *head), x = place.twin(net), place.tensor(x[None])
    tower = place.compile(tower)

    def run():
        with torch.inference_mode():
            y = torch.cat([tower(x) for _ in range(times)], dim=1)
            for module in head:
                y = module(y)
            return y.softmax(dim=-1)[0]

    return Workload(run, lambda: {"p": array(run())})


def loss(scores, labels, *, place):
    """Cross-entropy of every frame, summed, and its gradient."""
    s, labels = place.tensor(scores).requires_grad_(), place.tensor(labels).repeat_interleave(scores.shape[1])
    loss_of = place.compile(lambda s: F.cross_entropy(s.flatten(0, 1), labels, reduction="sum"))

    def run():
        s.grad = None
        value = loss_of(s)
        value.backward()
        return value

    return Workload(run, lambda: {"loss": array(run()), "dscores": array(s.grad)})


def optimiser(params, place):
    """SGD as in `training.sgd`: no decay of biases. params: (name, parameter)."""
    groups = [{"params": []}, {"params": [], "weight_decay": 0.0}]
    for name, p in params:
        groups[name.split("/")[-1].startswith("b")]["params"].append(p)
    return torch.optim.SGD(groups, lr=LR, momentum=0.9, weight_decay=0.0005, fused=place.compiled)


def velocity(opt, p):
    """Ours is -lr times torch's while lr is constant, see `training.sgd`."""
    return -LR * opt.state[p]["momentum_buffer"]


def sgd(params, grads, *, place):
    """One update of all parameters."""
    own = {key: torch.tensor(a, device=place.device).requires_grad_() for key, a in params.items()}
    for key, p in own.items():
        p.grad = torch.from_numpy(grads[key]).to(place.device)
    opt = optimiser(own.items(), place)

    def results():
        opt.step()
        return {f"velocity/{key}": velocity(opt, p).cpu().numpy() for key, p in own.items()}

    return Workload(opt.step, results)


def step(net, x, labels, *, place):
    """A whole training step."""
    module, x, labels = place.twin(net), place.tensor(x), place.tensor(labels)
    opt = optimiser(((name.replace(".", "/"), p) for name, p in module.named_parameters()), place)
    forward = place.compile(module)

    def run():
        opt.zero_grad()
        scores = forward(x)
        weight = torch.from_numpy(Weighting().of(scores.shape)).to(scores).flatten()
        rows = scores.flatten(0, -2)  # clips, or frames of clips
        each = F.cross_entropy(rows, labels.repeat_interleave(len(rows) // len(labels)), reduction="none")
        value = (each * weight).sum()
        value.backward()
        opt.step()
        return value

    def results():
        value = array(run())
        return {"loss": value, **{f"velocity/{key}": as_ours(velocity(opt, p)) for key, p in shared(module)}}

    return Workload(run, results)


JOBS = {  # ours: torch's
    jobs.whole: whole,
    jobs.frames: whole,
    jobs.video: video,
    jobs.loss: loss,
    jobs.sgd: sgd,
    jobs.step: step,
}


def placed(job, place):
    """A job at a place. It returns None where its arguments hold no images that could be stored channels last."""

    def workload(*arguments):
        if place.channels_last and not any(getattr(a, "ndim", 0) >= 4 for a in arguments):
            return None
        return job(*arguments, place=place)

    return workload


def counterparts(place):
    """{our job: torch's}; empty if this torch cannot compute on the place's device."""
    if place.device != "cpu" and not torch.cuda.is_available():
        return {}
    return {ours: placed(theirs, place) for ours, theirs in JOBS.items()}
