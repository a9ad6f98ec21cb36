"""PyTorch's side of `snippets bench`. Needs the package torch; imported only when it is asked for.

Each function here has the name and the arguments of one in `training.bench.jobs` and returns a `Job` whose results are
the same numbers under the same names, so that a test can hold both sides to each other. Memory is NCHW, torch's
default, unless channels_last; torch gets as many threads as we use. On a GPU cuDNN may choose its fastest convolutions,
and float32 is rounded for tensor cores only where CuPy's is.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from snippets.layers.device.xp import usable_cores
from snippets.training.bench.gpu import tf32
from snippets.training.bench.jobs import LR, Job, gives_dx
from snippets.training.bench.torch_twins import shared, twin
from snippets.training.objective import loss_weight

torch.set_num_threads(usable_cores())
torch.backends.cudnn.benchmark = True
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32()


class Place(NamedTuple):
    """Where and how torch keeps images and filters."""

    channels_last: bool = False
    device: str = "cpu"

    def tensor(self, a):
        """Our array as torch has it: (..., H, W, C) becomes (..., C, H, W), in memory too unless channels_last."""
        t = torch.from_numpy(a)
        if a.ndim >= 4:
            t = t.movedim(-1, -3) if self.channels_last else t.movedim(-1, -3).contiguous()
        return t.to(self.device)

    def twin(self, layer):
        """The module that computes what our layer does."""
        return twin(layer, self.channels_last).to(self.device)


def array(t, axes=None):
    """Back again; axes: those of `shared`, for what has the layout of a parameter."""
    a = t.detach().cpu().numpy()
    if axes is not None:
        return a.transpose(np.argsort(axes))
    return a if a.ndim < 4 else np.moveaxis(a, -3, -1)


def whole(layer, x, dy=None, rng=None, *, place):
    module, x = place.twin(layer).train(rng is not None), place.tensor(x)

    def forward():
        with torch.inference_mode():
            return module(x)

    if dy is None:
        return Job(forward, lambda: {"y": array(forward())})
    dy = place.tensor(dy)
    x.requires_grad_(gives_dx(layer))

    def both():
        x.grad = None
        module.zero_grad()
        y = module(x)
        y.backward(dy)
        return y

    def results():
        y = both()
        dx = {"dx": array(x.grad)} if gives_dx(layer) else {}
        return {"y": array(y), **dx, **{key: array(p.grad, axes) for key, p, axes in shared(module)}}

    return Job(both, results)


def video(net, x, times, *, place):
    """The tower takes a block at a time, for all frames' maps at once need more memory than most machines have."""
    (tower, *head), x = place.twin(net), place.tensor(x[None])

    def run():
        with torch.inference_mode():
            y = torch.cat([tower(x) for _ in range(times)], dim=1)
            for module in head:
                y = module(y)
            return y.softmax(dim=-1)[0]

    return Job(run, lambda: {"p": array(run())})


def loss(scores, labels, *, place):
    s, labels = place.tensor(scores).requires_grad_(), place.tensor(labels).repeat_interleave(scores.shape[1])

    def run():
        s.grad = None
        value = F.cross_entropy(s.flatten(0, 1), labels, reduction="sum")
        value.backward()
        return value

    return Job(run, lambda: {"loss": array(run()), "dscores": array(s.grad)})


def optimiser(params):
    """SGD as in `training.sgd`: no decay of biases. params: (name, parameter)."""
    groups = [{"params": []}, {"params": [], "weight_decay": 0.0}]
    for name, p in params:
        groups[name.split("/")[-1].startswith("b")]["params"].append(p)
    return torch.optim.SGD(groups, lr=LR, momentum=0.9, weight_decay=0.0005)


def velocity(opt, p):
    """Ours is -lr times torch's while lr is constant, see `training.sgd`."""
    return -LR * opt.state[p]["momentum_buffer"]


def sgd(params, grads, *, place):
    own = {key: torch.tensor(a, device=place.device).requires_grad_() for key, a in params.items()}
    for key, p in own.items():
        p.grad = torch.from_numpy(grads[key]).to(place.device)
    opt = optimiser(own.items())

    def results():
        opt.step()
        return {f"velocity/{key}": velocity(opt, p).cpu().numpy() for key, p in own.items()}

    return Job(opt.step, results)


def step(net, x, labels, *, place):
    module, x, labels = place.twin(net), place.tensor(x), place.tensor(labels)
    opt = optimiser((name.replace(".", "/"), p) for name, p in module.named_parameters())

    def run():
        opt.zero_grad()
        scores = module(x)
        weight = torch.from_numpy(loss_weight(scores.shape)).to(scores).flatten()
        rows = scores.flatten(0, -2)  # clips, or frames of clips
        each = F.cross_entropy(rows, labels.repeat_interleave(len(rows) // len(labels)), reduction="none")
        value = (each * weight).sum()
        value.backward()
        opt.step()
        return value

    def results():
        value = array(run())
        return {"loss": value, **{f"velocity/{k}": array(velocity(opt, p), axes) for k, p, axes in shared(module)}}

    return Job(run, results)


def reaches(device):
    """Whether this torch can compute there."""
    return device == "cpu" or torch.cuda.is_available()


JOBS = {job.__name__: job for job in (whole, video, loss, sgd, step)} | {"frames": whole}


def side(name, arguments, channels_last=False, device="cpu"):
    """The `Job` of that name for these arguments; None if torch has none, or no images that could be channels-last."""
    if name not in JOBS or (channels_last and not any(getattr(a, "ndim", 0) >= 4 for a in arguments)):
        return None
    return JOBS[name](*arguments, place=Place(channels_last, device))
