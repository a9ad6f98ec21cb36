"""Downpour SGD on Ray: one actor per replica, one per shard; Ray starts them again when they die.

    snippets train DATA --downpour --replicas 4 --shards 4 --fetch 5 --push 5 [--address HEAD:6379]

A shard that comes back goes on from its last checkpoint in OUT/shards, which on several hosts must be a folder that
all of them see; pushes since then are lost and the log says which. A replica that comes back asks the shards how far it
had got; gradients that it had not pushed are lost. What crosses the network are the requests of
training/distributed/downpour.py.
"""

import math
import os
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from snippets.data.lock import one_run
from snippets.training.checkpoint import checkpoint_of, load_into, save, videos_of
from snippets.training.distributed.downpour import Downpour, History, Job
from snippets.training.distributed.ray_actors import ACTOR, ReplicaActor, ShardActor, patient
from snippets.training.distributed.ray_session import import_ray, ray_session
from snippets.training.distributed.shard import Shard
from snippets.training.log import Log, read_log
from snippets.training.parameters import views
from snippets.training.settings import Conduct, Settings


class Driver:
    """Starts the actors, waits, starts a replica's work again after its death, keeps the log."""

    def __init__(self, job, paths, log, bar, stopped):
        self.ray, self.job, self.log, self.bar, self.stopped = import_ray(), job, log, bar, stopped
        d, self.took = job.downpour, []  # took: what `run` of each replica returned
        self.sent = [self.ray.put(job)]  # kept: an actor that is started again reads it again
        self.shards = [self.actor(ShardActor, i).remote(self.sent, i, path) for i, path in enumerate(paths)]
        self.replicas = [self.actor(ReplicaActor, i).remote(self.sent, i, self.shards) for i in range(d.replicas)]
        for kind in ("shard", "replica"):
            for i, actor in enumerate(getattr(self, f"{kind}s")):
                log.write({"event": "started", kind: i, **self.located(actor)})

    @property
    def waiting(self):
        """The part of their time in which replicas computed nothing, 0 to 1; of those that came to their end."""
        whole, waiting = (sum(took[key] for took in self.took) for key in ("seconds", "waiting"))
        return waiting / whole if whole else 0.0

    def located(self, actor):
        """Address of the host and process id of an actor."""
        node, pid = self.ray.get(actor.where.remote())
        return {"host": {n["NodeID"]: n["NodeManagerAddress"] for n in self.ray.nodes()}[node], "pid": pid}

    def actor(self, kind, i):
        """An actor class for the i-th of its kind: hosts in turn, for Ray would put all that need no core on one."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        hosts = sorted(node["NodeID"] for node in self.ray.nodes() if node["Alive"])
        where = NodeAffinitySchedulingStrategy(hosts[i % len(hosts)], soft=True)  # another one if that host is lost
        return self.ray.remote(**ACTOR, scheduling_strategy=where)(kind)

    def go(self, who, stop=None):
        """Let these replicas work until each has done `stop` of its steps, or all of them."""
        for me in who:
            for shard in self.shards:
                patient(shard.join, me, max(patient(shard.progress, me) for shard in self.shards))
        running = {self.replicas[me].run.remote(stop): me for me in who}
        while running:
            ready, _ = self.ray.wait(list(running), timeout=0.2)
            for ref in ready:
                me = running.pop(ref)
                try:
                    took = self.ray.get(ref)
                except self.ray.exceptions.RayActorError:
                    self.log.write({"event": "died", "replica": me})
                    running[self.again(me, stop)] = me
                except self.ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                else:
                    self.took.append(took)
                    self.log.write({"event": "done", "replica": me, "waiting": round(took["waiting"], 3)})
                    for shard in self.shards:
                        patient(shard.leave, me)
            self.report()
            if self.stopped:
                raise KeyboardInterrupt

    def again(self, me, stop):
        """Set a replica to work that Ray has started again, or is about to."""
        while True:
            try:
                where = self.located(self.replicas[me])
            except self.ray.exceptions.RayActorError:
                time.sleep(0.1)
                continue
            step = max(patient(shard.progress, me) for shard in self.shards)
            self.log.write({"event": "started", "replica": me, **where, "step": step})
            return self.replicas[me].run.remote(stop)

    def report(self):
        """What the shards report goes into the log; a shard that is down reports later."""
        for i, shard in enumerate(self.shards):
            try:
                reported = self.ray.get(shard.report.remote())
            except self.ray.exceptions.RayActorError:
                continue
            for event in reported["events"]:
                self.log.write(event)
            for record in reported["records"]:
                self.log.add(record)
            if i == 0:
                self.bar.update(sum(reported["done"]) - self.bar.n)

    def finish(self):
        """All shards' states, each after its last checkpoint: vector, velocity, version, staleness."""
        for shard in self.shards:
            patient(shard.finish)
        self.report()
        return [patient(shard.state) for shard in self.shards]

    def stop(self, actors):
        for actor in actors:
            self.ray.kill(actor)


def downpour(net, dataset, settings=None, downpour=None, address=None, **conduct):
    """Trains `net` in place; returns a dict: history, staleness, samples, seconds, waiting; since its first start.

    settings, downpour    `training.settings.Settings` and `training.distributed.downpour.Downpour`
    address               of a Ray cluster, HEAD:6379; None: Ray on this machine, or the one already connected to
    conduct               of `training.settings.Conduct`: folder, which also gets shards/, from whose checkpoints
                          resume goes on; config, fold, data, progress
    """
    s, c = settings or Settings(), Conduct(**conduct)
    resume, folder = c.resume, Path(c.folder)
    job = Job(net, dataset, s, downpour or Downpour())
    d, job.content = job.downpour, videos_of(dataset)
    paths = [str((folder / "shards" / f"{i}.npz").absolute()) for i in range(d.shards)]
    old = [path for path in (str(folder / "checkpoint.npz"), paths[0]) if os.path.exists(path)]
    if old and not resume:
        raise FileExistsError(f"{old[0]} exists: resume that run, or choose another folder")
    if resume:
        check_shards(job, paths)
    file, bar = folder / "log.jsonl", tqdm(total=job.total, desc=f"{d.replicas} replicas", disable=not c.progress)
    found = read_log(file) if resume and file.exists() else []
    with one_run(folder), ray_session(address) as (_, stopped), bar, Log(file, keep=math.inf if resume else 0) as log:
        log = History(job, log, found)
        driver = Driver(job, paths, log, bar, stopped)
        log.started = time.perf_counter()
        try:
            if d.warm_start_steps:
                driver.go([0], stop=d.warm_start_steps)
            driver.go(range(d.replicas))
            seconds = log.seconds
            vectors, velocities, versions, staleness = zip(*driver.finish(), strict=True)
        except KeyboardInterrupt:
            driver.stop(driver.replicas)
            driver.report()
            for shard in driver.shards:
                patient(shard.state)  # which saves it
            log.write({"event": "stopped"})
            raise KeyboardInterrupt(f"stopped; the shards are saved in {folder}: run again with resume") from None
        finally:
            driver.stop(driver.replicas + driver.shards)
        stale = sum(map(Counter, staleness), Counter())
        totals = {"staleness": dict(sorted(stale.items())), "samples": log.samples, "waiting": driver.waiting}
        log.write({"event": "finished", "versions": list(versions), **totals})
        load_into(job.trained(), views(np.concatenate(vectors), job.trained()))
        velocity = views(np.concatenate(velocities), job.trained())
        end = dict(epoch=s.epochs, steps=job.total, history=log.epochs(), content=job.content)
        save(folder / "checkpoint.npz", replace(checkpoint_of(net.params, velocity, dataset, s, c), **end))
    return {"history": log.epochs(), "seconds": seconds, **totals}


def check_shards(job, paths):
    """Refuses what is no part of this run, before anything is started."""
    if not os.path.exists(paths[0]):
        raise FileNotFoundError(f"cannot resume: there is no {paths[0]}")
    first = Shard(job, 0)
    first.restore(paths[0])
    missing = [path for path in paths if not os.path.exists(path)]
    if missing and first.opt.steps:  # else the run was stopped while its shards began
        raise FileNotFoundError(f"cannot resume: {missing[0]} is gone, and with it a part of the parameters")
