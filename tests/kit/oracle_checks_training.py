"""The optimiser held against its equations, written out number by number; see oracle_table.py."""

import math

import numpy as np
from contract import assert_close

from snippets.training.parameters import flatten, views

KEYS = {"tower/W": (3, 2), "tower/b": (2,), "scores/W": (2, 4), "frozen/W": (2, 2)}


def sgd(module):
    """Momentum, decay of all but biases, a limit on the norm of all gradients, a falling rate, groups."""
    for clip in (None, 2.0):
        rng = np.random.default_rng(5)
        params = {key: rng.standard_normal(shape) for key, shape in KEYS.items()}
        params = views(flatten(params), params)  # one vector, as on a GPU
        numbers = {(key, i): [float(a[i]), 0.0] for key, a in params.items() for i in np.ndindex(a.shape)}  # w, v
        groups = {"scores/": 0.5, "frozen/": 0.0}
        opt = module.SGD(params, lambda step: 0.2 * 0.7**step, 0.8, 0.1, clip, groups)
        for n, scale in enumerate((1.0, 0.1, 2.0, 0.5)):  # above the limit, and below
            grads = {key: scale * rng.standard_normal(shape) for key, shape in KEYS.items()}
            trained = [g for key, g in grads.items() if not key.startswith("frozen")]
            norm = math.sqrt(sum(float(x) ** 2 for g in trained for x in g.ravel()))
            assert_close(np.array(opt.step(grads)), np.array(norm), f"norm of step {n}", rtol=1e-12)
            for (key, i), (w, v) in numbers.items():
                if not key.startswith("frozen"):
                    lr = 0.2 * 0.7**n * (0.5 if key.startswith("scores") else 1)
                    g = float(grads[key][i]) * (min(1, clip / norm) if clip else 1)
                    v = 0.8 * v - lr * (g + (0 if key.endswith("b") else 0.1 * w))
                    numbers[key, i] = [w + v, v]
            assert opt.steps == n + 1
        for key, a in params.items():
            wanted = np.array([numbers[key, i][0] for i in np.ndindex(a.shape)]).reshape(a.shape)
            assert_close(a, wanted, f"{key} after 4 steps, limit {clip}", rtol=1e-12)


CHECKS = {"snippets.training.sgd": [sgd]}
