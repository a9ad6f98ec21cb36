"""A7, scale-out: right and wrong answers (course.py says what the names are for)."""

import re

HUNT = """
import numpy as np
from snippets.training.sgd import SGD

def check(inputs, outputs):
    keys = ("fc1/W", "fc1/b", "fc2/W", "fc2/b")
    dotted = {key: key.replace("/", ".") for key in keys}
    params = {key: inputs["w " + dotted[key]].copy() for key in keys}
    lr, decay, m, wd, clip, factor = (
        float(inputs[name]) for name in ("lr", "decay", "momentum", "weight_decay", "clip", "factor")
    )
    opt = SGD(params, lambda n: lr * decay**n, m, wd, clip, {"fc2/": factor})
    norms = [opt.step({key: inputs["g " + dotted[key]][n] for key in keys}) for n in range(4)]
    right = {"w " + dotted[key]: a for key, a in params.items()} | {"norms": norms, "steps": opt.steps}
    for name, a in right.items():
        assert np.allclose(outputs[name], a, rtol=1e-7), name
"""
DERIVED = ()
NOT_ASKED = set()
WRONG = [  # question, what stands there, what a student wrote, what must be said
    ("sgd", "w += v", "w -= v", "w fc1.W["),
    ("sgd", "v *= self.momentum", "v *= self.momentum**2", "w fc1.W["),
    ("sgd", "self.clip_norm / norm\n", "self.clip_norm / norm**2\n", "w fc1.W["),
    ("sgd", "        grads = self.trained(grads)\n        norm", "        norm", "hidden/wide: w fc1.W["),
    ("all_reduce", "self.flat.fill(0)", "return self.grads", "waits in finish() for rank"),
    ("all_reduce", "[key for key in grads if key in self.grads]", "list(grads)", "KeyError: 'fc1/b'"),
    ("all_reduce", 'yield {f"{name}/{key}": g', 'yield {key: g', "zero everywhere"),
    ("all_reduce", "self.flat[first:sent]", "self.flat[first : sent - 1]", "batch 1: d fc1.W["),
    ("push", "return self.opt.steps % self.job.downpour.checkpoint_every == 0", "return False", "is a checkpoint due["),
    ("push", "self.opt.steps - part.version)] += 1", "self.opt.steps - part.version)] = 1", "staleness and how often["),
    ("push", "views(part.gradient, self.params), part", "views(-part.gradient, self.params), part", "w after each"),
    ("replica", "yield Compute()", "pass", "requests (0 Ask, 1 Take, 2 Compute, 3 Push, 4 Wait) has shape"),
    ("replica", "yield Push(first, step + 1,", "yield Push(first, step,", "steps of the pushes["),
    ("replica", "records.append(record)", "records = [record]", "batches in the records has shape"),
    ("replica", "in zip(ranges, answers", "in zip(ranges, answers[:1] * 3", "Error"),
    ("twist", "np.sqrt((w * w).sum())", "abs(w).sum()", "w["),
]  # fmt: skip
FOLLOW_THROUGH = []


def milestone(printed):
    """One replica is plain SGD; 16 are no match for it: 1.9 to 4.7 times its loss over five seeds and three kernels."""
    assert re.search(r"^ 1 replicas .* largest difference from plain SGD 0$", printed, re.M), printed
    plain, one, _, many = (float(loss) for loss in re.findall(r"loss ([\d.]+)", printed))
    stale = [float(number) for number in re.findall(r"staleness +([\d.]+)", printed)]
    assert plain == one and many > 1.2 * one and stale[0] == 0 and stale[2] > 10, printed
