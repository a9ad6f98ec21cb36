"""The simulated clock: the same training as everywhere else, and times that can be worked out by hand."""

import heapq
import json
from dataclasses import replace

import numpy as np
import pytest
from downpour_runs import CONFIG, LEARNER, SETTINGS, clips
from outcomes import Outcome, hold

from snippets.data.features import save_features
from snippets.nets.zoo import build
from snippets.training.cli.main import main
from snippets.training.distributed.downpour import IN_FLIGHT, Downpour, Job
from snippets.training.distributed.machines import Cluster, Cores
from snippets.training.distributed.simulate import Simulation
from snippets.training.distributed.simulate_synchronous import synchronous
from snippets.training.loop import train
from snippets.training.parameters import flatten
from snippets.training.settings import Settings


def job(d, **settings):
    return Job(build(CONFIG, 1), clips(), Settings(**{**vars(SETTINGS), **settings}), d)


STEADY = Cluster(compute=0.1, std=0.0, latency=0.001, bandwidth=1e5, apply=1e-6, message=0.002, touch=1e-7, wake=0.0005)


def trained(job):
    return flatten(job.trained())


def test_one_simulated_replica_is_sgd_bit_for_bit():
    """Downpour with one replica = SGD (bit for bit), on simulated time; and its time is the sum of its parts."""
    plain = build(CONFIG, 1)
    train(plain, clips(), SETTINGS, progress=False)
    one = job(Downpour(1, 1, 1, 1))
    trace = Simulation(one, STEADY).run()
    assert trained(one).tobytes() == flatten(plain.params).tobytes()
    n = trained(one).size
    touch, way, call = 4e-7 * n, 4 * n / 1e5 + 0.001 + 0.0005, 0.002
    fetch = call + 0.001 + 0.0005 + call + touch + way + touch  # one round trip
    push = call + touch + way + call + touch + 1e-6 * n
    # the next fetch goes with the push: the shard has read, updated and written when it has served both
    both = push + touch
    assert trace.time[0] == pytest.approx(fetch + 0.1 + both)
    assert trace.time[-1] == pytest.approx(fetch + 18 * 0.1 + 17 * (both + way + touch) + push)
    assert trace.staleness == {0: 18} and trace.samples[-1] == 3 * 44


def test_one_synchronous_rank_is_sgd_bit_for_bit():
    plain, one = build(CONFIG, 1), job(Downpour(1, 1))
    train(plain, clips(), SETTINGS, progress=False)
    trace = synchronous(one, STEADY)
    assert trained(one).tobytes() == flatten(plain.params).tobytes()
    assert trace.time[-1] == pytest.approx(18 * (0.1 + 1e-6 * trained(one).size))


def test_a_replica_waits_with_too_many_pushes_under_way_and_goes_on():
    """A step takes 10 ms, a push a second: with IN_FLIGHT and one on their way the replica computes no more."""
    far = replace(STEADY, compute=0.01, latency=1.0, bandwidth=1e12)
    trace = Simulation(job(Downpour(1, 1, fetch=100, push=1)), far).run()
    assert trace.samples[-1] == 3 * 44 and len(trace.time) == 18
    apart = np.subtract(trace.time[IN_FLIGHT + 1 :], trace.time[: -IN_FLIGHT - 1])
    assert apart.min() > 1 and np.diff(trace.time).min() < 0.1, (trace.time, apart)


def test_one_seed_one_run_and_every_batch_arrives():
    d, cluster = Downpour(5, 3, 2, 2), Cluster(std=0.5, cluster_seed=1)
    runs = [job(d) for _ in range(2)]
    traces = [Simulation(run, cluster).run() for run in runs]
    assert trained(runs[0]).tobytes() == trained(runs[1]).tobytes() and traces[0].time == traces[1].time
    assert traces[0].samples[-1] == 3 * 44 and not traces[0].events
    assert sorted(traces[0].time) == traces[0].time
    other = Simulation(job(d), Cluster(std=0.5, cluster_seed=2)).run()
    assert other.time != traces[0].time


def test_staleness_grows_with_the_replicas():
    """With R equal replicas that fetch and push every step, R - 1 updates come between a fetch and its push."""
    for R in (2, 6):
        trace = Simulation(job(Downpour(R, 2, 1, 1), epochs=20), Cluster(std=0.1)).run()
        mean = sum(k * n for k, n in trace.staleness.items()) / sum(trace.staleness.values())
        assert mean == pytest.approx(R - 1, rel=0.1)


@pytest.mark.parametrize("mtbf, keep", [(0.01, 1), (0.3, 10**6)], ids=["no gradient", "no checkpoint"])
def test_a_run_that_dies_faster_than_it_works_is_ended(mtbf, keep):
    slow = Cluster(compute=0.1 if keep == 1 else 30.0, restart=0.1, mtbf=mtbf)
    with pytest.raises(ValueError, match="processes die faster than they work; raise --mtbf"):
        Simulation(job(Downpour(2, 2, checkpoint_every=keep), epochs=1), slow).run()


def test_cores_and_links_limit_the_throughput():
    free = dict(compute=0.1, std=0.0, latency=0.0, bandwidth=1e12, apply=0.0, message=0.0, touch=0.0, wake=0.0)
    rate = {}
    for name, changes in {
        "free": {},
        "cores": dict(hosts=1, cores=2),
        "three hosts": dict(hosts=3, cores=1),
        "messages": dict(hosts=1, cores=9, message=0.05),  # a call per step and a first one of each replica
        "links": dict(bandwidth=1e4),
    }.items():
        cluster = Cluster(**(free | changes))
        rate[name] = Simulation(job(Downpour(6, 1, 1, 1), epochs=6, batch=4), cluster).run().throughput
    assert rate["free"] == pytest.approx(6 * 4 / 0.1, rel=0.03)
    assert rate["cores"] == pytest.approx(2 * 4 / 0.1, rel=0.03)
    assert rate["three hosts"] == pytest.approx(3 * 4 / 0.1, rel=0.1)
    assert rate["messages"] == pytest.approx(66 * 4 / ((66 + 6) * 0.05), rel=0.05)
    n = trained(job(Downpour())).size
    assert rate["links"] == pytest.approx(4 / (4 * n / 1e4), rel=0.1)  # a push comes in while a fetch goes out


def test_a_link_is_one_hosts_and_no_shards():
    """Two hosts, one or two shards on each of them: as many bytes each way, which pass each other with two."""
    slow = Cluster(
        hosts=2, cores=9, compute=1e-3, std=0.0, latency=0, bandwidth=1e4, apply=0, message=0, touch=0, wake=0
    )
    way = 4 * trained(job(Downpour())).size / 2 / 1e4  # half of the bytes leave the host
    for S, far in ((2, 1), (4, 2)):  # the first far shard answers while the push to the second is on its way
        expected = way + 17 * (way + way / far) + way
        assert Simulation(job(Downpour(1, S, 1, 1)), slow).run().seconds == pytest.approx(expected, rel=0.05)


def test_jobs_share_cores_in_equal_parts():
    """Two cores: two jobs of 2 s and one of 1 s end at 1.5 s, when each has got 1 s, and then at 2.5 s."""

    class World:
        now, events = 0.0, []

        def at(self, when, what, *args):
            heapq.heappush(self.events, (when, len(self.events) + when, what, args))

    world, ends = World(), []
    cores = Cores(world, 2)
    for seconds in (2.0, 1.0, 2.0):
        cores.add(seconds, lambda: ends.append(world.now))
    while world.events:
        world.now, _, what, args = heapq.heappop(world.events)
        what(*args)
    assert ends == pytest.approx([1.5, 2.5, 2.5]) and cores.busy == 5


def deaths(seed):
    """Four replicas and two shards that die every now and then, beside the same that never die."""
    settings = Settings(**{**vars(SETTINGS), "epochs": 40, "decay": 0.95, "lr": 0.02, "momentum": 0.5, "seed": seed})
    runs = [Job(build(LEARNER, seed), clips(), settings, Downpour(4, 2, 2, 2, checkpoint_every=5)) for _ in range(2)]
    cluster = Cluster(mtbf=3.0, restart=1.0, cluster_seed=seed)
    steady, trace = (Simulation(*one).run() for one in zip(runs, (Cluster(), cluster), strict=True))
    assert {event["event"] for event in trace.events} == {"died", "restored", "lost"}
    assert trace.time[-1] > steady.time[-1] and np.isfinite(trained(runs[1])).all()
    first, last, other = (np.mean(part) for part in (trace.loss[:20], trace.loss[-20:], steady.loss[-20:]))
    return [
        Outcome("loss of the last 20 steps by the first 20's", last / first, "<", 0.5),  # 0.25 at worst
        Outcome("loss of the last 20 steps by that without deaths", last / other, "<", 1.25),  # 1.07
    ]


def test_deaths_cost_time_and_are_told():
    hold(deaths(0))
    d = Downpour(4, 2, 2, 2, checkpoint_every=5)
    often = Simulation(
        job(d, epochs=2), Cluster(mtbf=0.5, restart=1.0, cluster_seed=4)
    ).run()  # the dead die again, too
    assert often.samples and sum(event["event"] == "died" for event in often.events) > 4
    stopped = synchronous(job(d, epochs=20, decay=0.97, lr=0.02), Cluster(mtbf=5.0, restart=1.0, cluster_seed=3))
    assert stopped.events and stopped.time[-1] > synchronous(job(d, epochs=20, decay=0.97, lr=0.02), Cluster()).time[-1]


def test_a_warm_start_delays_the_others():
    trace = Simulation(job(Downpour(3, 2, 1, 1, warm_start_steps=6)), STEADY).run()
    assert trace.staleness[0] >= 2 * 6 and trace.samples[-1] == 3 * 44


def test_the_synchronous_step_waits_for_the_slowest():
    d = Downpour(9, 1)
    slow = synchronous(job(d), Cluster(std=0.5, latency=0.0, bandwidth=1e12, apply=0.0))
    rate = slow.throughput / (9 * 8 / 0.1)
    assert 0.3 < rate < 0.65  # the largest of nine draws at sigma 0.5 is about exp(0.74) times the median


@pytest.mark.parametrize("hosts, cores, turns", [(1, 2, 2), (2, 1, 2), (1, 3, 1), (1, 1, 3), (0, 0, 1), (1, 0, 1)])
def test_ranks_that_share_cores_compute_one_after_the_other(hosts, cores, turns):
    """Three of them; without a number of cores each has its own."""
    cluster = Cluster(hosts=hosts, cores=cores, compute=0.5, std=0.0, latency=0.0, bandwidth=1e15, apply=0.0)
    assert synchronous(job(Downpour(3, 1)), cluster).time[0] == pytest.approx(turns * 0.5)


def test_the_command_line_simulates_and_draws(tmp_path, capsys):
    data = clips(60)
    save_features(tmp_path / "f.npz", data.stored.feat, data.labels + 1, np.arange(60) >= 44)
    args = ["simulate", str(tmp_path / "f.npz"), "--head", "conv", "--fc", "12", "--epochs", "1", "--batch", "8"]
    for _ in range(2):  # the second run finds its folder
        assert main([*args, "--out", str(tmp_path / "out"), "--counts", "1", "3", "--mtbf", "2"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[:5]] == ["| run", "| Downpour", "| Downpour", "| sync x1", "| sync x3"]
    about = json.loads((tmp_path / "out" / "simulate.json").read_text())
    assert about["cluster"]["mtbf"] == 2.0 and len(about["rows"]) == 4
    assert (tmp_path / "out" / "simulate.png").stat().st_size > 5000
    assert main([*args, "--out", str(tmp_path / "m"), "--counts", "2", "--momenta", "0", "0.9"]) == 0
    assert "| 0.9 |" in capsys.readouterr().out


def test_the_command_line_times_a_synchronous_step(capsys):
    net = "--head conv --size 36 --width 0.1 --fc 8 --frames 2 --batch 3 --repeat 2".split()
    assert main(["scaling", *net]) == 0
    cells = capsys.readouterr().out.splitlines()[-1].strip("| ").split(" | ")
    assert cells[0] == "1" and float(cells[2]) > 0 and float(cells[-1]) > 0
