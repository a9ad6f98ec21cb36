"""How much memory will a training step take? Predicted by arithmetic before the run starts, and made to fit.

A chunk of frames goes through the tower, forward and backward, and the whole batch through the head; not the numbers,
only their shapes (`nets.inspect.cost`). A step is put together from that, its worst stage being the prediction:

    forward    k threads with a chunk's work each; caches and outputs of the chunks that are done
    head       the caches of all chunks; the head's forward and backward pass
    backward   the same caches; k threads with a chunk's work each, its own set of the tower's gradients included; the
               sum of the sets, and the one that was added last
    load       the next batch's clips and their copy, beside the batch before; no caches

Parameters, momenta, the batch, clips that the loader holds ready and every thread's scratch buffers are always there,
and so are, in the training loop, the gradients of the step before until new ones take their place. When recomputing, a
cache lives inside its thread's work only. Not counted: the interpreter and its libraries (about 0.2 GB), and memory
maps, which the system takes back when it needs to.

What a plan chooses, how many threads there are and whether caches are kept or made again, changes no bit of a result.
"""

import contextlib
import math
import os
from pathlib import Path
from typing import NamedTuple

from snippets.layers.core.base import Sequential
from snippets.layers.device.container import memory_left
from snippets.layers.device.xp import usable_cores
from snippets.nets.auxiliary import Auxiliary
from snippets.nets.frames import OverFrames
from snippets.nets.inspect.cost import measure

GIB = 2**30
SHARE = 0.8  # of the memory that is free, what a run may take unless it is told


class Plan(NamedTuple):
    """How to run the tower, and what a training step then takes."""

    threads: int | None  # None for a net without a tower
    recompute: bool
    parts: dict  # bytes by part

    @property
    def total(self):
        """Bytes in the worst moment of a step."""
        return sum(self.parts.values())

    def apply(self, net):
        """Set the net's tower, if it has one, to this plan; returns the plan."""
        if tower := tower_of(net):
            tower.threads, tower.recompute = self.threads, self.recompute
        return self

    def __str__(self):
        size = f"a training step takes {self.total / GIB:.2f} GiB"
        if self.threads is None:
            return size
        how = "run again in" if self.recompute else "kept for"
        return f"{size}: the tower on {self.threads} threads, {how} the backward pass"

    def table(self):
        """The parts, one a line."""
        rows = {**self.parts, "in the worst moment": self.total}
        return "\n".join(f"{name:24}{size / GIB:9.3f} GiB" for name, size in rows.items())


class Step:
    """A training step of a float32 `net`, with or without weights, on batches of `shape` (N, T, ...).

    trained: names of the parameters that are trained, None for all. ahead: clips that a loader prepares ahead, None if
    the batch is there already.
    """

    def __init__(self, net, shape, trained=None, ahead=None):
        self.shape, self.ahead, params = shape, ahead, net.params
        trained = set(params) if trained is None else set(trained)
        self.params = bytes_of(params.values())
        self.grads = bytes_of(params[key] for key in trained)
        self.tower, tower_output = tower_of(net), shape
        if self.tower:
            train = any(key.startswith("tower/") for key in trained)
            self.tower_grads = bytes_of(self.tower.params.values()) if train else 0
            self.chunk, self.cost, self.scratch, y = chunk_cost(self.tower, shape, train)
            tower_output = (*shape[:2], *y[1:])
            if isinstance(net, Auxiliary):  # scores of its side heads go past the head
                tower_output = (*shape[:2], y[1] - net.side_scores)
        self.head, self.head_scratch, _ = measure(head_of(net), tower_output, given=self.tower is None)

    def parts(self, threads=1, recompute=False):
        """Bytes in the worst moment, by part. "work": temporaries, scratch buffers, further sets of gradients."""
        N, frames, clip = self.shape[0], self.shape[0] * self.shape[1], 4 * math.prod(self.shape[1:])
        inputs, caches, scratch = (N + (self.ahead or 0)) * clip, self.head.kept, self.head_scratch
        stages = {"head": max(self.head.forward, self.head.backward)}
        if self.tower:
            cost, chunks = self.cost, math.ceil(frames / self.chunk)
            k = min(threads, chunks)
            scratch = scratch + k * self.scratch if k > 1 else max(scratch, self.scratch)  # one thread has one buffer
            outputs, done = cost.output * frames / self.chunk, 0 if recompute else cost.kept * frames / self.chunk
            forward, backward = cost.forward, max(cost.forward, cost.backward)
            if not recompute:
                forward, backward = forward - cost.kept, cost.backward - cost.kept
            stages["forward"] = done + outputs + max(k * forward, outputs)  # at its end the outputs are joined
            stages["head"] += done
            stages["backward"] = done + self.head.after + k * backward + min(chunks - k, 2) * self.tower_grads
            caches += k * cost.kept if recompute else done
        if self.ahead is not None:  # the training loop
            stages = {name: size + self.grads for name, size in stages.items()}
            stages["load"] = self.grads + 2 * N * clip
        found = {"parameters": self.params, "momenta": self.grads, "gradients": self.grads, "inputs": inputs}
        found["caches"] = caches
        found["work"] = max(stages.values()) + scratch - self.grads - caches
        return {name: round(size) for name, size in found.items()}


def chunk_cost(tower, shape, train):
    """Frames of a chunk of clips of `shape`, its Cost, bytes of scratch buffers, and the shape of its output."""
    frames = min(tower.chunk, shape[0] * shape[1])
    return frames, *measure(tower.layer, (frames, *shape[2:]), given=True, train=train)


def head_of(net):
    """What stands behind the net's tower."""
    return Sequential(**{name: layer for name, layer in net.layers.items() if layer is not tower_of(net)})


def plan(net, shape, memory=None, trained=None, ahead=None):
    """The fastest Plan whose training step on batches of `shape` fits into `memory` bytes (None: any); see `Step`.

    Keeping caches comes first, then recomputing, then fewer threads. ValueError if nothing fits.
    """
    step, tower = Step(net, shape, trained, ahead), tower_of(net)
    if tower:
        most = tower.threads or usable_cores()
        ways = [(most, False), *((threads, True) for threads in range(most, 0, -1))]
        plans = [Plan(*way, step.parts(*way)) for way in ways]
    else:
        plans = [Plan(None, False, step.parts())]
    for found in plans:
        if memory is None or found.total <= memory:
            return found
    N, T = shape[:2]
    refuse(f"a training step on {N} clips of {T} frames", min(plan.total for plan in plans), memory)


def prediction(net, shape):
    """Bytes that `net.predict` takes for clips of `shape`, parameters and the clips included."""
    tower, size = tower_of(net), bytes_of(net.params.values()) + 2 * 4 * math.prod(shape)  # clips are gathered
    output, work = shape, 0
    if tower:
        frames, cost, scratch, y = chunk_cost(tower, shape, train=False)
        chunks = -(-shape[0] * shape[1] // frames)
        output, work = (*shape[:2], *y[1:]), min(tower.threads or usable_cores(), chunks) * (cost.forward + scratch)
        size += 2 * 4 * math.prod(output)
    head, scratch, _ = measure(head_of(net), output, train=False)
    return size + max(work, head.forward + scratch)


def afford(what, size, gib=None):
    """ValueError unless `size` bytes are allowed, see `allowed_memory`."""
    allowed = allowed_memory(gib)
    if allowed is not None and size > allowed:
        refuse(what, size, allowed)


def refuse(what, size, memory):
    """Raises ValueError: it does not fit."""
    raise ValueError(
        f"{what} needs at least {size / GIB:.2f} GiB, but {memory / GIB:.2f} GiB are allowed; choose a smaller batch, "
        "fewer or smaller frames, or allow more memory"
    )


def allowed_memory(gib=None):
    """Bytes that a run may take: so many GiB, or else SHARE of what is free; None where the system tells nothing."""
    available = None if gib is not None else available_memory()
    return gib * GIB if gib is not None else available and SHARE * available


def tower_of(net):
    """The net's OverFrames, or None for a net that reads precomputed features."""
    tower = net.layers.get("tower")
    return tower if isinstance(tower, OverFrames) else None


def bytes_of(arrays):
    return sum(a.nbytes for a in arrays)


def available_memory():
    """Bytes that this process may still take, of the machine and of its container; None where the system tells none."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):  # Linux
        found.append(1024 * int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]))
    if not found and hasattr(os, "sysconf"):  # macOS: all that there is
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    if (left := memory_left()) is not None:
        found.append(left)
    return min(found, default=None)
