"""How much memory will a training step take? Foretold before the run starts, and made to fit.

One and two frames (if they are small, half a chunk and a chunk) go through the tower, forward and backward, and are
measured (`nets.cost`): what a frame adds, and what is there anyway, give a chunk of any length. The head runs once, at
its real size. A step is put together from that, its worst stage being the prediction:

    forward    k threads with a chunk's work each; caches and outputs of the chunks that are done
    head       the caches of all chunks; the head's forward and backward pass
    backward   the same caches; k threads with a chunk's work each, its own set of the tower's gradients included; the
               sum of the sets, and the one that was added last
    load       the next batch's clips and their copy, beside the batch before; no caches

Parameters, momenta, the batch, clips that the loader holds ready and every thread's scratch buffers are always there,
and so are, in the training loop, the gradients of the step before until new ones take their place. When recomputing, a
cache lives inside its thread's work only. Not counted: the interpreter and its libraries (about 0.2 GB), and memory
maps, which the system takes back when it needs to.
"""

import contextlib
import math
import os
from pathlib import Path
from typing import NamedTuple

from layers.base import Sequential
from layers.cgroup import memory_left
from layers.xp import usable_cores
from nets.auxiliary import Auxiliary
from nets.cost import Cost, measure
from nets.frames import OverFrames

GIB = 2**30
SMALL = 2**17  # numbers in a frame: a chunk of smaller ones does not fill the layers' blocks from the first frame on


class Plan(NamedTuple):
    """How to run the tower, and what a training step then takes."""

    chunk: int | None  # frames, None for a net without a tower
    recompute: bool
    parts: dict  # bytes by part

    @property
    def total(self):
        """Bytes in the worst moment of a step."""
        return sum(self.parts.values())

    def apply(self, net):
        """Set the net's tower, if it has one, to this plan; returns the plan."""
        if tower := tower_of(net):
            tower.chunk, tower.recompute = self.chunk, self.recompute
        return self

    def __str__(self):
        size = f"a training step takes {self.total / GIB:.2f} GiB"
        if self.chunk is None:
            return size
        how = "run again in" if self.recompute else "kept for"
        return f"{size}: the tower in chunks of {self.chunk} frames, {how} the backward pass"

    def table(self):
        """The parts, one a line."""
        rows = {**self.parts, "in the worst moment": self.total}
        return "\n".join(f"{name:24}{size / GIB:9.3f} GiB" for name, size in rows.items())


class Step:
    """A training step of a float32 `net` on batches of `shape` (N, T, ...): measured once, foretold for any chunk.

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
            small = math.prod(shape[2:]) < SMALL and self.tower.chunk > 1
            self.frames = (self.tower.chunk // 2, self.tower.chunk) if small else (1, 2)
            measured = [(n, *shape[2:]) for n in self.frames]
            self.frame_costs, self.scratch, y = measure(self.tower.layer, *measured, given=True, train=train)
            tower_output = (*shape[:2], *y[1:])
            if isinstance(net, Auxiliary):  # scores of its side heads go past the head
                tower_output = (*shape[:2], y[1] - net.side_scores)
        head = Sequential(**{name: layer for name, layer in net.layers.items() if layer is not self.tower})
        (self.head,), (self.head_scratch,), _ = measure(head, tower_output, given=self.tower is None)

    def of_chunk(self, frames, less, more):
        """What a chunk of so many frames takes, a line through what the two that were measured took."""
        few, many = self.frames
        return less + (frames - few) * (more - less) / (many - few)

    def parts(self, chunk=1, recompute=False):
        """Bytes in the worst moment, by part. "work": temporaries, scratch buffers, further sets of gradients."""
        N, frames, clip = self.shape[0], self.shape[0] * self.shape[1], 4 * math.prod(self.shape[1:])
        inputs, caches, scratch = (N + (self.ahead or 0)) * clip, self.head.kept, self.head_scratch
        stages = {"head": max(self.head.forward, self.head.backward)}
        if self.tower:
            chunk = min(chunk, frames)
            cost = Cost(*(self.of_chunk(chunk, *both) for both in zip(*self.frame_costs, strict=True)))
            chunks, buffers = math.ceil(frames / chunk), max(0, self.of_chunk(chunk, *self.scratch))
            k = min(self.tower.threads or usable_cores(), chunks)
            scratch = scratch + k * buffers if k > 1 else max(scratch, buffers)  # one thread has one buffer
            outputs, done = cost.output * frames / chunk, 0 if recompute else cost.kept * frames / chunk
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


def plan(net, shape, memory=None, trained=None, ahead=None):
    """The fastest Plan whose training step on batches of `shape` fits into `memory` bytes (None: any); see `Step`.

    Keeping caches comes first, then recomputing; chunks get shorter last, because their length decides the order in
    which gradients are summed and which units drop out, and recomputing changes no bit. ValueError if nothing fits.
    """
    step, tower = Step(net, shape, trained, ahead), tower_of(net)
    if tower:
        shorter = [(tower.chunk >> halvings, True) for halvings in range(tower.chunk.bit_length())]
        plans = [Plan(*way, step.parts(*way)) for way in [(tower.chunk, False), *shorter]]
    else:
        plans = [Plan(None, False, step.parts())]
    for found in plans:
        if memory is None or found.total <= memory:
            return found
    least = min(plan.total for plan in plans)
    N, T = shape[:2]
    raise ValueError(
        f"a training step on {N} clips of {T} frames needs at least {least / GIB:.2f} GiB, but {memory / GIB:.2f} GiB "
        "are allowed; choose a smaller batch, fewer or smaller frames, or allow more memory"
    )


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
