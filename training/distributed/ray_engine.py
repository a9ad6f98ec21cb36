"""Downpour SGD on Ray: one actor per replica, one per shard; Ray starts them again when they die.

    snippets train DATA --downpour --replicas 4 --shards 4 --fetch 5 --push 5 [--address HEAD:6379]

A shard that comes back goes on from its last checkpoint in OUT/shards, so shards stay on hosts that see that folder;
pushes since then are lost and the log says which. A replica that comes back asks the shards how far it had got;
gradients that it had not pushed are lost. Before anything starts, all hosts are asked whether they can take part
(hosts.py). What crosses the network are the requests of training/distributed/downpour.py.
"""

import contextlib
import math
import os
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from snippets.data.lock import one_run
from snippets.training.checkpoint import checkpoint_of, load_into, save, videos_of
from snippets.training.distributed.downpour import Downpour, History, Job
from snippets.training.distributed.hosts import Stalls, check_data, survey
from snippets.training.distributed.ray_actors import ACTOR, ReplicaActor, ShardActor, patient
from snippets.training.distributed.ray_session import import_ray, ray_session, silent
from snippets.training.distributed.shard import Shard
from snippets.training.log import Log, read_log
from snippets.training.parameters import views
from snippets.training.settings import Conduct, Settings


class Driver:
    """Starts the actors, waits, starts a replica's work again after its death, keeps the log."""

    def __init__(self, job, paths, log, stopped, progress):
        self.ray, self.job, self.log, self.stopped = import_ray(), job, log, stopped
        self.stalls, self.reports, self.at, self.step = Stalls(self.say), {}, {}, Counter()
        self.took = []  # what `run` of each replica returned
        folder, d, self.sent = Path(paths[0]).parents[1], job.downpour, [self.ray.put(job)]  # kept: a restart reads it
        self.hosts = survey(self.ray, folder, self.say)
        check_data(self.ray, self.hosts, self.sent, self.say)
        for host in self.hosts:
            if not host.sees:
                tqdm.write(f"{host} does not see {folder}: it gets replicas, and no shards", file=sys.stderr)
        for i, path in enumerate(paths):
            if not os.path.exists(path):
                Shard(job, i).save(path)  # so that a shard that dies at once is missed, too
        with silent():  # Ray warns that a restart needs what was sent
            self.shards = [self.actor(ShardActor, i).remote(self.sent, i, path) for i, path in enumerate(paths)]
            self.replicas = [self.actor(ReplicaActor, i).remote(self.sent, i, self.shards) for i in range(d.replicas)]
        for kind in ("shard", "replica"):
            for i in range(len(getattr(self, f"{kind}s"))):
                log.write({"event": "started", kind: i, **self.located(kind, i)})
        self.bar = tqdm(total=job.total, desc=f"{d.replicas} replicas", disable=not progress)

    @property
    def waiting(self):
        """The part of their time in which replicas computed nothing, 0 to 1; of those that came to their end."""
        whole, waiting = (sum(took[key] for took in self.took) for key in ("seconds", "waiting"))
        return waiting / whole if whole else 0.0

    def actor(self, kind, i):
        """An actor class for the i-th of its kind: hosts in turn, for Ray would put all on one.

        If its host is lost, it is started on another; a shard only if every host sees its checkpoint.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        hosts = [host for host in self.hosts if host.sees or kind is ReplicaActor]
        where = NodeAffinitySchedulingStrategy(hosts[i % len(hosts)].id, soft=len(hosts) == len(self.hosts))
        return self.ray.remote(**ACTOR, scheduling_strategy=where)(kind)

    def say(self, what, seconds):
        """Tell the user and the log what has been waited for."""
        tqdm.write(f"waiting for {what}, {seconds:.0f} s so far", file=sys.stderr)
        self.log.write({"event": "waiting", "for": what, "since": round(seconds, 1)})

    def named(self, kind, i):
        return f"{kind} {i} on host {self.at[kind, i]}" if (kind, i) in self.at else f"{kind} {i}"

    def ask(self, kind, i, name, *args, asked=None):
        """What a method of the i-th of the shards or replicas answers."""
        who, method = self.named(kind, i), getattr(getattr(self, f"{kind}s")[i], name)
        try:
            return patient(method, *args, asked=asked, waiting=lambda: self.stalls.waiting(who), who=who)
        finally:
            self.stalls.over(who)

    def shards_say(self, name, *args):
        """What a method of each shard answers; all are asked at once."""
        asked = [getattr(shard, name).remote(*args) for shard in self.shards]
        return [self.ask("shard", i, name, *args, asked=ref) for i, ref in enumerate(asked)]

    def located(self, kind, i):
        """Address of the host and process id of an actor."""
        where = self.ask(kind, i, "where")
        self.at[kind, i] = where["host"]
        return where

    def go(self, who, stop=None):
        """Let these replicas work until each has done `stop` of its steps, or all of them."""
        for me in who:
            self.shards_say("join", me, max(self.shards_say("progress", me)))
        running = {self.start(me, stop, who): me for me in who}
        while running:
            ready, _ = self.ray.wait(list(running), timeout=0.2)
            for ref in ready:
                me = running.pop(ref)
                self.stalls.over(f"a step of {self.named('replica', me)}")
                try:
                    took = self.ray.get(ref)
                except self.ray.exceptions.RayActorError:
                    self.log.write({"event": "died", "replica": me})
                    where, step = self.located("replica", me), max(self.shards_say("progress", me))
                    self.log.write({"event": "started", "replica": me, **where, "step": step})
                    running[self.start(me, stop, who)] = me
                except self.ray.exceptions.RayTaskError as error:
                    if len(self.hosts) > 1:
                        error.cause.add_note(f"in {self.named('replica', me)}")
                    raise error.cause from None
                else:
                    self.took.append(took)
                    self.log.write({"event": "done", "replica": me, "waiting": round(took["waiting"], 3)})
                    self.shards_say("leave", me)
            self.report()
            for me in running.values():
                self.stalls.waiting(f"a step of {self.named('replica', me)}")
            if self.stopped:
                raise KeyboardInterrupt

    def start(self, me, stop, who):
        """Set a replica to work, as one of `who`."""
        beside = sum(self.at["replica", other] == self.at["replica", me] for other in who)
        return self.replicas[me].run.remote(stop, beside)

    def report(self):
        """What the shards report goes into the log; a shard that does not answer at once reports later."""
        for i, shard in enumerate(self.shards):
            ref = self.reports.pop(i, None) or shard.report.remote()
            if self.ray.wait([ref], timeout=0)[0]:
                with contextlib.suppress(self.ray.exceptions.RayActorError):
                    self.note(i, self.ray.get(ref))
                    self.stalls.over(self.named("shard", i))
                    continue
            else:
                self.reports[i] = ref
            self.stalls.waiting(self.named("shard", i))

    def note(self, i, reported):
        """Keep what shard i has reported."""
        for event in reported["events"]:
            self.log.write(event)
            if "host" in event:  # it has been started again
                self.at["shard", i] = event["host"]
        for record in reported["records"]:
            self.log.add(record)
        if i == 0:
            self.bar.update(sum(reported["done"]) - self.bar.n)
        for me, step in enumerate(reported["done"]):
            if step > self.step[me]:
                self.step[me] = step
                self.stalls.over(f"a step of {self.named('replica', me)}")

    def last_report(self):
        """Report whatever the shards have not reported yet."""
        for i in range(len(self.shards)):
            for asked in (self.reports.pop(i, None), None):
                self.note(i, self.ask("shard", i, "report", asked=asked))

    def stop(self, actors):
        """End some of the actors."""
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
    file = folder / "log.jsonl"
    found = read_log(file) if resume and file.exists() else []
    with one_run(folder), ray_session(address) as (_, stopped), Log(file, keep=math.inf if resume else 0) as log:
        log = History(job, log, found)
        driver = Driver(job, paths, log, stopped, c.progress)
        log.started = time.perf_counter()
        try:
            if d.warm_start_steps:
                driver.go([0], stop=d.warm_start_steps)
            driver.go(range(d.replicas))
            seconds = log.seconds
            driver.shards_say("finish")
            driver.last_report()
            vectors, velocities, versions, staleness = zip(*driver.shards_say("state"), strict=True)
        except KeyboardInterrupt:
            driver.stop(driver.replicas)
            driver.last_report()
            driver.shards_say("state")  # which saves it
            log.write({"event": "stopped"})
            raise KeyboardInterrupt(f"stopped; the shards are saved in {folder}: run again with resume") from None
        finally:
            driver.bar.close()
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
