"""PyTorch's side of `snippets bench`. Needs the package torch; imported only when it is asked for.

Each function here has the name and the arguments of one in `training.bench_jobs` and returns a `Job` whose results are
the same numbers under the same names, so that a test can hold both sides to each other. Memory is NCHW, torch's
default, unless channels_last; torch gets as many threads as we use.
"""

import numpy as np
import torch
from torch.nn import functional as F

from layers.xp import usable_cores
from training.bench_jobs import LR, Job, gives_dx
from training.objective import loss_weight
from training.torch_twins import shared, twin

torch.set_num_threads(usable_cores())


def tensor(a, channels_last=False):
    """Our array as torch has it: (..., H, W, C) becomes (..., C, H, W), in memory too unless channels_last."""
    if a.ndim < 4:
        return torch.from_numpy(a)
    t = torch.from_numpy(a).movedim(-1, -3)
    return t if channels_last else t.contiguous()


def array(t, axes=None):
    """Back again; axes: those of `shared`, for what has the layout of a parameter."""
    a = t.detach().numpy()
    if axes is not None:
        return a.transpose(np.argsort(axes))
    return a if a.ndim < 4 else np.moveaxis(a, -3, -1)


def whole(layer, x, dy=None, rng=None, channels_last=False):
    module, x = twin(layer, channels_last).train(rng is not None), tensor(x, channels_last)

    def forward():
        with torch.inference_mode():
            return module(x)

    if dy is None:
        return Job(forward, lambda: {"y": array(forward())})
    dy = tensor(dy, channels_last)
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


frames = whole


def video(net, x, times, channels_last=False):
    """The tower takes a block at a time, for all frames' maps at once need more memory than most machines have."""
    (tower, *head), x = twin(net, channels_last), tensor(x[None], channels_last)

    def run():
        with torch.inference_mode():
            y = torch.cat([tower(x) for _ in range(times)], dim=1)
            for module in head:
                y = module(y)
            return y.softmax(dim=-1)[0]

    return Job(run, lambda: {"p": array(run())})


def loss(scores, labels):
    s, labels = torch.from_numpy(scores).requires_grad_(), torch.from_numpy(labels).repeat_interleave(scores.shape[1])

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


def sgd(params, grads):
    own = {key: torch.tensor(a).requires_grad_() for key, a in params.items()}
    for key, p in own.items():
        p.grad = torch.from_numpy(grads[key])
    opt = optimiser(own.items())

    def results():
        opt.step()
        return {f"velocity/{key}": velocity(opt, p).numpy() for key, p in own.items()}

    return Job(opt.step, results)


def step(net, x, labels, channels_last=False):
    module, x, labels = twin(net, channels_last), tensor(x, channels_last), torch.from_numpy(labels)
    opt = optimiser((name.replace(".", "/"), p) for name, p in module.named_parameters())

    def run():
        opt.zero_grad()
        scores = module(x)
        weight = torch.from_numpy(loss_weight(scores.shape)).to(scores.dtype).flatten()
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


def side(name, arguments, channels_last=False):
    """The `Job` of that name for these arguments; None if torch has none, or no images that could be channels-last."""
    if name not in globals() or (channels_last and not any(getattr(a, "ndim", 0) >= 4 for a in arguments)):
        return None
    return globals()[name](*arguments, **({"channels_last": True} if channels_last else {}))
