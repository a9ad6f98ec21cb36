"""The actors of Downpour SGD on Ray (ray_engine.py): a replica, and a parameter shard that outlives its process."""

import contextlib
import math
import os
import time
from pathlib import Path

from threadpoolctl import threadpool_limits

from snippets.layers.device.xp import usable_cores
from snippets.nets.frames import OverFrames
from snippets.training.distributed.downpour import IN_FLIGHT, Ask, Push, Take, Wait, replica
from snippets.training.distributed.ray_session import import_ray
from snippets.training.distributed.shard import Shard
from snippets.training.parameters import flatten

INLINE = str(64 << 20)  # bytes; beyond Ray's own 100 KB a message would go by the object store, in six round trips
ONE_TRIP = {"RAY_max_direct_call_object_size": INLINE, "RAY_task_rpc_inlined_bytes_limit": INLINE}
CORE = 0.001  # of a core: of an actor that asks for none Ray does not heed on which host it should be
ACTOR = dict(num_cpus=CORE, max_restarts=-1, max_task_retries=0, runtime_env={"env_vars": ONE_TRIP})
PATIENCE = 180  # seconds that a replica waits for a shard to be started again, on a busy machine too


class Located:
    """An actor that says where it runs, for the log and for whoever wants to kill it."""

    def where(self):
        """Address of its host, and its process id."""
        return {"host": import_ray().util.get_node_ip_address(), "pid": os.getpid()}


class ShardActor(Located, Shard):
    """A `Shard` that restores itself from its checkpoint, of which there always is one, and writes it regularly."""

    def __init__(self, job, index, path):
        super().__init__(import_ray().get(job[0]), index)
        self.path, where = Path(path), self.where()
        if not self.path.exists():
            raise FileNotFoundError(
                f"shard {index} has no checkpoint on host {where['host']}, where it came back: {path} is not there; "
                "bring it back and resume"
            )
        self.restore(self.path)
        if self.opt.steps or import_ray().get_runtime_context().was_current_actor_reconstructed:
            self.events[-1] |= where
        else:
            self.events.clear()  # it has just begun

    def push(self, replica, part):
        if super().push(replica, part):
            self.save(self.path)

    def state(self):
        """Parameters, momenta, version and staleness, after a checkpoint of them."""
        self.save(self.path)
        return self.vector, flatten(self.opt.velocity, self.vector.copy()), self.opt.steps, dict(self.staleness)


def share_cores(net, beside):
    """Let a net use the cores of this host in threads, with the others of `beside` nets."""
    for layer in getattr(net, "layers", {}).values():
        if isinstance(layer, OverFrames):
            layer.threads = max(1, usable_cores() // beside)


class ReplicaActor(Located):
    """Carries out what a replica asks for."""

    def __init__(self, job, me, shards):
        self.job, self.me, self.shards = import_ray().get(job[0]), me, shards
        job = self.job
        self.ranges = [job.range(i) for i in range(job.downpour.shards)]
        threadpool_limits(1, "blas")  # as in `training.loop.train`
        with contextlib.suppress(OSError):  # a folder that this host lacks
            os.chdir(job.cwd)

    def run(self, stop=None, beside=1):
        """Steps up to `stop`, from where the shards say that this replica had got; {seconds, waiting} of that time.

        beside: replicas that share the cores of this host. waiting: seconds in which it computed nothing, for it sent
        something to the shards or waited for their answer.
        """
        ray = import_ray()
        share_cores(self.job.net, beside)
        steps = replica(self.job, self.me, self.progress(), stop)
        answer, asked, sent, step, held = None, [], [], 0, None  # held: a push that goes with the next fetch
        computing, start = 0.0, time.perf_counter()
        while True:
            began = time.perf_counter()
            request = next(steps, None) if answer is None else steps.send(answer)
            computing += time.perf_counter() - began
            if request is None:
                if sent:
                    ray.wait(sent, num_returns=len(sent))
                took = time.perf_counter() - start
                return {"seconds": took, "waiting": took - computing}
            answer = None
            if isinstance(request, Ask):
                step = request.step
                asked = [
                    shard.fetch.remote(self.me, step, held and held.part(i, self.ranges[i]))
                    for i, shard in enumerate(self.shards)
                ]
                held = None
            elif isinstance(request, Take):
                waits = zip(self.shards, asked, strict=True)
                answer = [patient(shard.fetch, self.me, step, asked=ref) for shard, ref in waits]
            elif isinstance(request, Push) and request.asks:
                held = request
            elif isinstance(request, Push):
                for i, range in enumerate(self.ranges):
                    sent.append(self.shards[i].push.remote(self.me, request.part(i, range)))
                over = len(sent) - IN_FLIGHT * len(self.shards)
                if over > 0:  # whether they arrived is not asked: a shard notices what is missing
                    _, sent = ray.wait(sent, num_returns=over)
            elif isinstance(request, Wait):
                time.sleep(0.01)

    def progress(self):
        """Steps of this replica that some shard has seen."""
        asked = [shard.progress.remote(self.me) for shard in self.shards]
        return max(patient(s.progress, self.me, asked=ref) for s, ref in zip(self.shards, asked, strict=True))


def patient(method, *args, asked=None, waiting=None, who="a shard"):
    """What a method of an actor answers; while that is being started again, asks again.

    asked: a call that is on its way. waiting: called now and then until there is an answer. OSError: `who` has lost its
    checkpoint, or has not come back PATIENCE seconds after the first failure, however long that took to be noticed.
    """
    ray, until = import_ray(), math.inf
    while True:
        ref = method.remote(*args) if asked is None else asked
        while waiting and not ray.wait([ref], timeout=0.5)[0]:
            waiting()
        try:
            return ray.get(ref)
        except (ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError) as error:
            if getattr(error, "actor_init_failed", False):
                raise OSError(str(error).strip().splitlines()[-1].partition(": ")[2]) from None
            until = min(until, time.monotonic() + PATIENCE)
            if time.monotonic() >= until:
                raise OSError(f"{who} has not come back within {PATIENCE} s ({error})") from error
        asked = None
        if waiting:
            waiting()
        time.sleep(0.1)
