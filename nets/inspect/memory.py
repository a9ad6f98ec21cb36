"""How much memory will a training step take? Predicted by arithmetic before the run starts, and made to fit.

A chunk of frames goes through the tower, forward and backward, and the whole batch through the head, as shapes alone
(`nets.inspect.fake`). A step is put together from that; its worst stage is the prediction:

    forward    k threads with the work of a chunk; caches and outputs of the chunks that are done
    head       the caches of all chunks; the head's forward and backward pass
    backward   the same caches; k threads with the work of a chunk, each with its own set of the tower's gradients; the
               sum of the sets, and the one that was added last
    load       the next batch's clips and their copy, beside the batch before; no caches

Parameters, momenta, the batch, clips that the loader holds ready and every thread's scratch buffers are always there,
and so are, in the training loop, the gradients of the step before until new ones take their place. When recomputing,
only what `nets.recompute` keeps is a cache; all else lives inside a thread's work. Not counted: the interpreter and its
libraries (about 0.2 GB), and memory maps, which the system takes back when it needs to.

What a plan chooses, how many threads there are and whether caches are kept or made again, changes no bit of a result.
"""

import contextlib
import math
import os
from pathlib import Path
from typing import NamedTuple

from snippets.layers.device.container import memory_left
from snippets.layers.device.xp import usable_cores
from snippets.nets.auxiliary import AuxiliaryNet
from snippets.nets.frames import OverFrames, behind_tower
from snippets.nets.inspect.fake import pass_memory
from snippets.nets.inspect.layer_memory import size_of
from snippets.nets.recompute import Recomputed

GIB = 2**30
SHARE = 0.8  # of the memory that is free, what a run may take unless it is told


class MemoryPlan(NamedTuple):
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

    def listing(self):
        """The parts as text, one per line."""
        rows = {**self.parts, "in the worst moment": self.total}
        return "\n".join(f"{name:24}{size / GIB:9.3f} GiB" for name, size in rows.items())


class StepMemory:
    """A training step of a float32 `net`, with or without weights, on batches of `shape` (N, T, ...).

    trained: names of the parameters that are trained, None for all. ahead: clips that a loader prepares ahead, None if
    the batch is there already.
    """

    def __init__(self, net, shape, trained=None, ahead=None):
        trained = set(net.params if trained is None else trained)
        self.shape, self.ahead = shape, ahead
        self.params = bytes_of(net.params.values())
        self.grads = bytes_of(a for key, a in net.params.items() if key in trained)
        train_tower = any(key.startswith("tower/") for key in trained)
        self.tower_grads = bytes_of(net.layers["tower"].params.values()) if train_tower else 0
        self.chunk, self.tower, self.head = tower_and_head(net, shape, train_tower, True)
        self.recomputed = self.tower
        if self.chunk and self.chunk < shape[0] * shape[1]:
            again = Recomputed(tower_of(net).layer)
            self.recomputed = pass_memory(again, (self.chunk, *shape[2:]), given=True, train=train_tower)

    def parts(self, threads=1, recompute=False):
        """Bytes in the worst moment, by part. "work": temporaries, scratch buffers, further sets of gradients."""
        N, frames, clip = self.shape[0], self.shape[0] * self.shape[1], size_of(*self.shape[1:])
        caches, scratch = self.head.kept, self.head.scratch
        stages = {"head": max(self.head.forward, self.head.backward)}
        if tower := self.recomputed if recompute else self.tower:
            chunks = math.ceil(frames / self.chunk)
            k = min(threads, chunks)
            scratch = scratch + k * tower.scratch if k > 1 else max(scratch, tower.scratch)  # a thread has one buffer
            outputs, done = tower.output * frames / self.chunk, tower.kept * frames / self.chunk
            forward, backward = k * (tower.forward - tower.kept), k * (tower.backward - tower.kept)
            stages["forward"] = done + outputs + max(forward, outputs)  # at its end the outputs are joined
            stages["head"] += done
            stages["backward"] = done + self.head.after + backward + min(chunks - k, 2) * self.tower_grads
            caches += done
        if self.ahead is not None:  # the training loop
            stages = {name: size + self.grads for name, size in stages.items()}
            stages["load"] = self.grads + 2 * N * clip
        inputs, work = (N + (self.ahead or 0)) * clip, max(stages.values()) + scratch - self.grads - caches
        found = {"parameters": self.params, "momenta": self.grads, "gradients": self.grads, "inputs": inputs}
        return {name: round(size) for name, size in (found | {"caches": caches, "work": work}).items()}


def tower_and_head(net, shape, train_tower, train):
    """Frames of a chunk, the PassMemory of a chunk through the tower, and that of clips of `shape` behind the tower.

    The first two are None for a net without a tower. train_tower, train: whether there is a backward pass.
    """
    head, tower, chunk, of_tower = net, tower_of(net), None, None
    if tower:
        chunk = min(tower.chunk, shape[0] * shape[1])
        of_tower = pass_memory(tower.layer, (chunk, *shape[2:]), given=True, train=train_tower)
        head = behind_tower(net)
        shape = *shape[:2], *of_tower.shape[1:]
        if isinstance(net, AuxiliaryNet) and train_tower:  # their scores go past the head
            shape = *shape[:-1], shape[-1] - net.auxiliary_scores
    return chunk, of_tower, pass_memory(head, shape, given=train and tower is None, train=train)


def plan_memory(net, shape, memory=None, trained=None, ahead=None):
    """The fastest MemoryPlan whose training step on batches of `shape` fits into `memory` bytes (None: any).

    trained, ahead: see `StepMemory`. To keep caches is fastest, then to recompute them, then to use fewer threads.
    ValueError if nothing fits.
    """
    step, tower, ways = StepMemory(net, shape, trained, ahead), tower_of(net), [(None, False)]
    if tower:
        most = tower.threads or usable_cores()
        ways = [(most, False), *((threads, True) for threads in range(most, 0, -1))]
    plans = [MemoryPlan(*way, step.parts(*way)) for way in ways]
    for found in plans:
        if memory is None or found.total <= memory:
            return found
    N, T = shape[:2]
    refuse(f"a training step on {N} clips of {T} frames", min(plan.total for plan in plans), memory)


def prediction_memory(net, shape):
    """Bytes that `net.predict` takes for clips of `shape`, parameters and the clips included."""
    chunk, tower, head = tower_and_head(net, shape, False, False)
    size, work = bytes_of(net.params.values()) + 2 * size_of(*shape), head.forward + head.scratch  # clips are gathered
    if tower:
        frames = shape[0] * shape[1]
        k = min(tower_of(net).threads or usable_cores(), math.ceil(frames / chunk))
        size += 2 * tower.output * frames / chunk
        work = max(work, k * (tower.forward + tower.scratch))
    return size + work


def check_memory(what, size, gib=None):
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
    """Bytes that a run may take: so many GiB, or else SHARE of what is free; None if that is unknown."""
    available = None if gib is not None else available_memory()
    return gib * GIB if gib is not None else available and SHARE * available


def tower_of(net):
    """The net's OverFrames, or None for a net that reads precomputed features."""
    tower = net.layers.get("tower")
    return tower if isinstance(tower, OverFrames) else None


def bytes_of(arrays):
    """Bytes of arrays, added up."""
    return sum(a.nbytes for a in arrays)


def available_memory():
    """Bytes that this process may still take, of the machine and of its container; None if unknown."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):  # Linux
        found.append(1024 * int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]))
    if not found and hasattr(os, "sysconf"):  # macOS: all that there is
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    if (left := memory_left()) is not None:
        found.append(left)
    return min(found, default=None)
