"""Prices, with what is measured and what is simulated replaced: what is asked for, and what is made of the answers."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from downpour_runs import CONFIG, SETTINGS, clips

from snippets.data.layouts.splits import Video
from snippets.nets.zoo import build
from snippets.training.distributed import price
from snippets.training.distributed.downpour import Downpour, Job
from snippets.training.distributed.machines import Cluster
from snippets.training.distributed.price import Price, Timed, Videos, downpour_price, price_table, training_prices


def test_what_holds_up_a_job_over_videos():
    """Its cores, if the link takes as long; of one host not even a slow link counts."""
    job = Videos(frames=80.0, per_frame=0.5, bytes=1000.0, videos=2)
    assert job.on(2, 1, 50) == (20, "cores") and job.on(2, 1, 49) == (1000 / 49, "link")
    assert job.on(1, 1, 1) == (40, "cores")
    assert Videos(0.0, 0.5, 0.0, 2).on(1, 1, 1) == (0, "cores")


class Frames:
    """So many frames of three uint16 of a video, as its label says; none of those that are damaged."""

    shape, dtype = (3,), np.dtype(np.uint16)

    def __init__(self):
        self.told, self.seen = [], []

    def one_thread(self):
        self.told.append("one thread")

    def stream(self, video):
        self.seen.append(video.name)
        if video.label == 0:
            raise OSError("damaged")
        return iter(range(video.label))


@pytest.mark.parametrize(
    "count, step, limit",
    [(1, 1, 9), (2, 1, 9), (39, 1, 99), (40, 2, 99), (63, 3, 99), (63, 3, 3), (63, 3, 3.5), (63, 3, 0)],
)
def test_a_sample_of_the_videos_is_decoded(count, step, limit, tmp_path, monkeypatch):
    """About twenty, evenly, until the limit is exceeded; a folder of pictures has no size of its own."""
    (tmp_path / "a.avi").write_bytes(b"12345")
    (tmp_path / "folder").mkdir()
    videos = [
        Video(tmp_path / ("a.avi" if i % 2 else "folder"), 0 if i % 5 == 3 else 2 + i % 2, f"{i}", "g")
        for i in range(count)
    ]
    clock = [100.0]
    monkeypatch.setattr(price.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(price, "frames_per_video", lambda some, of: 7.5 if (some, of) == (videos, source) else None)
    source = Frames()
    stream = source.stream

    def slow(video):
        clock[0] += 1
        return stream(video)

    source.stream = slow
    found = price.measure_videos(source, videos, limit)
    chosen = [i for i in range(0, count, step)][: int(limit) + 1]
    assert source.seen == [str(i) for i in chosen] and source.told == ["one thread"]
    frames = sum(videos[i].label for i in chosen)
    sized = 5 if any(i % 2 for i in range(0, count, step)) else 0
    assert found == Videos(7.5 * count, len(chosen) / frames, 7.5 * count * 6 + count * sized, count)


def test_videos_for_a_batch_are_decoded_ahead(monkeypatch):
    """Those that can be, without a bar, within the limit; over and over until there are as many as in a batch."""
    clock, asked = [100.0], []
    monkeypatch.setattr(price.time, "perf_counter", lambda: clock[0])

    def fill(videos, **how):
        clock[0] += 1
        asked.append((videos, how))
        return {"b": "damaged"} if videos == ["b"] else {}

    store = SimpleNamespace(fill=fill)
    assert price.some_videos(store, list("bacd"), 3, 9) == ["a", "c", "a"]
    assert asked == [([name], {"progress": False}) for name in "bac"]
    assert price.some_videos(store, list("acd"), 3, 2) == ["a", "c", "d"]  # the third began within the limit
    assert price.some_videos(store, list("acd"), 3, 1.5) == ["a", "c", "a"]
    assert price.some_videos(store, list("bacd"), 3, 0.5) == ["a", "a", "a"]  # one at least


def job(**changed):
    return Job(build(CONFIG, 1), clips(), SETTINGS, replace(Downpour(3, 2, warm_start_steps=4), **changed))


def test_a_job_that_costs_nothing(monkeypatch):
    timed = Timed(build(CONFIG, 1), clips(), SETTINGS, Downpour())
    run = SimpleNamespace(opt=SimpleNamespace(params={"W": np.ones(3, np.float32)}))
    found, sums = timed.gradient(run, 5)
    np.testing.assert_array_equal(found.grads["W"], np.zeros(3, np.float32), strict=True)
    assert (found.loss, found.weight, found.norm) == (0, 1, 0) and timed.gradient(run, 6)[0].grads is found.grads
    assert sums == {"loss": 0, "weight": 1, "hits": 0, "clips": SETTINGS.batch}


@pytest.mark.parametrize(
    "waiting, cores, link, bound",
    [
        (0.49, 0, 0.9, "cores"),  # replicas compute most of the time
        (0.5, 0.4, 0.3, "round trips"),
        (0.5, 0.5, 0.5, "cores"),  # the cores do something else: calls, updates
        (0.6, 0.6, 0.7, "link"),
        (0.6, 0.7, 0.6, "cores"),
        (0.6, 0.45, 0.5, "link"),
        (1.0, 0, 0, "round trips"),
    ],
)
def test_what_holds_up_downpour(waiting, cores, link, bound, monkeypatch):
    """Twenty steps of each replica, without a warm start, stand for all; the busiest core and link count."""
    worlds, cluster = [], Cluster()

    def simulation(of, on):
        busy = [SimpleNamespace(busy=s * 10.0 * 4, number=4) for s in (cores, cores / 2)]
        worlds.append((of, on))
        return SimpleNamespace(
            run=lambda: SimpleNamespace(seconds=10.0), cores=busy, trace=SimpleNamespace(waiting=waiting),
            links=SimpleNamespace(busy=[0.0, link * 10.0, link]),
        )  # fmt: skip

    monkeypatch.setattr(price, "Simulation", simulation)
    one = job()
    assert downpour_price(one, cluster, 600) == (100.0, bound)
    assert downpour_price(one, cluster, 5) == (10.0, bound)
    for (of, on), total in zip(worlds, (60, 5), strict=True):
        assert type(of) is Timed and on is cluster and of.total == total and of.net is not one.net
        assert of.downpour == replace(one.downpour, warm_start_steps=0) and of.settings == one.settings


@pytest.mark.parametrize(
    "latency, bandwidth, compute, bound",
    [(1, 1e9, 5, "cores"), (1, 1e9, 3.9, "round trips"), (0, 1, 3200, "link"), (0, 1, 3300, "cores")],
)
def test_what_holds_up_ranks(latency, bandwidth, compute, bound):
    one = job()
    bytes = 2 * 4 * sum(a.size for a in one.trained().values())
    cluster = Cluster(latency=latency, bandwidth=bandwidth, grow=2)
    found = price.synchronous_price(one, cluster, 3, 10, compute)
    assert found.seconds == pytest.approx(10 * (compute + 4 / 3 * bytes / bandwidth + 4 * latency))
    assert found.bound == bound


@pytest.mark.parametrize("hosts", [1, 3])
def test_what_is_measured_for_prices(hosts, monkeypatch):
    """A batch, a rank's part of it, replicas as many as share a host; not twice where they have as many threads."""
    measured, priced = [], []
    cluster = Cluster(hosts=hosts, latency=0.5, bandwidth=7.0, grow=2.0, cluster_seed=9, mtbf=3.0, compute=99)

    def measure(of, limit, **given):
        measured.append((of.settings.batch, of.downpour.replicas, limit, given))
        return Cluster(compute=float(len(measured)))

    def downpour_price(of, costs, total):
        priced.append((of.downpour.replicas, costs.compute, total))
        return Price(7.0, "link")

    monkeypatch.setattr(price, "measured", measure)
    monkeypatch.setattr(price, "downpour_price", downpour_price)
    monkeypatch.setattr(
        price, "synchronous_price", lambda *args: Price(args[4], str(args[2:4])) if args[1] is cluster else 0
    )
    monkeypatch.setattr(price, "usable_cores", lambda: 4)
    found = training_prices(job(), 50, (1, 4, 5, 14), cluster)
    names = ["training, one process", *([] if hosts == 1 else ["training, 3 ranks"])]
    assert list(found) == names + [f"training, {R} replicas" for R in (1, 4, 5, 14)]
    assert found["training, one process"] == (Price(50.0, "cores"), None)
    assert hosts == 1 or found["training, 3 ranks"] == (None, Price(2.0, "(3, 50)"))
    assert found["training, 5 replicas"] == (None, Price(7.0, "link"))
    given = dict(hosts=hosts, latency=0.5, bandwidth=7.0, grow=2.0, cluster_seed=9)
    shared = [(8, 1), (8, 4)] if hosts == 1 else [(8, 1), (3, 1), (8, 2), (8, 5)]
    assert measured == [(*of, 10, given) for of in shared]
    costs = (1, 2, 2, 2) if hosts == 1 else (1, 3, 3, 4)
    assert priced == [(R, cost, 50) for R, cost in zip((1, 4, 5, 14), costs, strict=True)]
    training_prices(job(), 50, (), cluster, 3)
    assert measured[-1][2] == 3


@pytest.mark.parametrize("hosts, head", [(1, "on 1 host"), (2, "on 2 hosts")])
def test_a_table_of_prices(hosts, head):
    """What holds a job up on all hosts, or on this one if it runs there only."""
    rows = {
        "a": (Price(9.5, "cores"), Price(7200.0, "link")),
        "b": (Price(61, "cores"), None),
        "c": (None, Price(0, "link")),
    }
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in price_table(rows, hosts).splitlines()]
    assert cells[0] == ["job", "on this host", head, "bound by"]
    assert cells[2:] == [["a", "9.5 s", "2.0 h", "link"], ["b", "61 s", "", "cores"], ["c", "", "0 s", "link"]]
