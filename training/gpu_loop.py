"""The epoch of `training.loop` for a net on a GPU, which the host must never keep waiting.

The host only queues work. Step s + 1 is queued while the GPU still computes step s, and its batch is copied meanwhile:
from pinned memory, on a stream of its own, into one of two buffers that take turns. Loss, gradient norm and scores stay
on the GPU, and are read once in EVERY steps, for all of these together; the log has the same line for each step. So
a loss that is no longer a number shows some steps late, but before anything is saved.
"""

import math
import time
from itertools import islice

from snippets.layers.device.xp import to_numpy, xp_of
from snippets.layers.loss import check_labels
from snippets.training.interrupts import defer_interrupt
from snippets.training.step import Gradient, gradient, means, sums_of

EVERY = 20  # steps whose losses are read together


class Slot:
    """Pinned and device memory for one batch."""

    def __init__(self, cupy):
        self.cupy, self.arrays = cupy, {}
        self.copied, self.free = (cupy.cuda.Event(disable_timing=True) for _ in range(2))

    def buffers(self, name, like):
        """(pinned, device) arrays of the shape and dtype of `like`; new ones only where the largest so far is small."""
        import cupyx

        kept = self.arrays.get(name)
        if kept is None or kept[0].dtype != like.dtype or kept[0].size < like.size:
            kept = cupyx.empty_pinned(like.size, like.dtype), self.cupy.empty(like.size, like.dtype)
            self.arrays[name] = kept
        return tuple(a[: like.size].reshape(like.shape) for a in kept)

    def send(self, stream, **arrays):
        """Start the copies on that stream; returns the device arrays, to be used after `copied`."""
        if not self.copied.done:
            self.copied.synchronize()  # the pinned memory still holds a batch that waits for its copy: two steps behind
        stream.wait_event(self.free)
        there = []
        for name, a in arrays.items():
            pinned, device = self.buffers(name, a)
            pinned[...] = a
            device.set(pinned, stream=stream)
            there.append(device)
        self.copied.record(stream)
        return there


def fed(source, cupy):
    """(x, labels) of each Batch of `source` on the GPU, and the labels on the host; valid until the next but one."""
    stream, slots, number = cupy.cuda.Stream(non_blocking=True), [Slot(cupy), Slot(cupy)], 0
    for x, labels, _ in source:
        slot = slots[number % 2]
        there = slot.send(stream, x=x, labels=labels)
        computing = cupy.cuda.get_current_stream()
        computing.wait_event(slot.copied)
        yield (*there, labels)
        slot.free.record(computing)  # what was queued up to here may still read the batch
        number += 1


def on_gpu(run, source, progress):
    """`training.loop.on_host` without waiting for the GPU."""
    state = run.state
    queued, kept, waited = [], None, [time.perf_counter(), 0.0]  # to read; since when, seconds of that for data
    with run.bar(progress) as bar:
        try:
            started = time.perf_counter()
            for x, labels, seen in fed(islice(source, run.per_epoch - state.step), xp_of(run.opt.vector)):
                waited[1] += time.perf_counter() - started
                check_labels(seen, (len(seen), run.classes))
                found = gradient(run, x, labels, run.generator(state.epoch, state.step))
                scores = found.scores
                with defer_interrupt():
                    lr = run.opt.lr
                    run.update(found)
                    if kept is None:  # of the first batch, which is as large as any
                        kept = xp_of(scores).empty((EVERY, 2 + scores.size), scores.dtype)
                    row = kept[len(queued)]
                    row[0], row[1], row[2 : 2 + scores.size] = found.loss, found.norm, scores.ravel()
                    queued.append((run.where, lr, scores.shape, found.weight, seen))
                if len(queued) == EVERY:
                    read(run, queued, kept, waited, bar)
                started = time.perf_counter()
        finally:
            with defer_interrupt():
                read(run, queued, kept, waited, bar)


def read(run, queued, kept, waited, bar):
    """Wait for the steps that are queued, and log them; empties `queued` and starts the clock anew.

    kept: on the GPU, a row for each of them: loss, gradient norm, scores.
    """
    if not queued:
        return
    rows = to_numpy(kept[: len(queued)])
    seconds = time.perf_counter() - waited[0]
    times = {"data": waited[1] / len(queued), "compute": (seconds - waited[1]) / len(queued)}
    steps = queued[:]
    queued.clear()
    waited[:] = time.perf_counter(), 0.0
    for (where, lr, shape, weight, labels), row in zip(steps, rows, strict=True):
        loss, norm, scores = float(row[0]), float(row[1]), row[2 : 2 + math.prod(shape)].reshape(shape)
        if not math.isfinite(loss + norm):
            raise run.diverged(f"in step {where['step']}, loss {loss}, gradient norm {norm}", lr)
        done = sums_of(Gradient(loss, scores, weight, {}, norm), labels, run.settings.inference)
        run.record(done | times, norm, lr, where)
        bar.update()
    bar.set_postfix(means(run.state.partial, digits=3), refresh=False)
