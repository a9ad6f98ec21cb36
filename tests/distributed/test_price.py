"""Prices of jobs on many hosts: sums that can be worked out by hand, and the table of the command line."""

import math

import numpy as np
import pytest
from downpour_runs import CONFIG, SETTINGS, clips

import snippets.training.distributed.price as price
from snippets.data.decoder import Source
from snippets.data.features import save_features
from snippets.data.layouts.splits import Video
from snippets.data.video import VideoError, write_video
from snippets.nets.zoo import build
from snippets.training.cli.main import main
from snippets.training.distributed.downpour import Downpour, Job
from snippets.training.distributed.machines import Cluster

COSTS = Cluster(
    hosts=1, cores=2, compute=0.1, std=0.0, latency=0.01, bandwidth=1e6, apply=0, message=0, touch=0, wake=0
)


class Frames(Source):
    """Ten frames of every video but the damaged ones."""

    shape = (4,)

    def stream(self, video):
        if "bad" in video.name:
            raise VideoError(f"{video.name} is damaged")
        yield from np.zeros((10, 4), np.uint8)


def test_a_job_over_videos_is_bound_by_cores_by_videos_or_by_the_link(tmp_path, monkeypatch):
    write_video(tmp_path / "v.avi", np.zeros((10, 8, 8, 3), np.uint8), 10)
    video = Video(tmp_path / "v.avi", 0, "v.avi", "g")
    monkeypatch.setattr(
        price.time, "perf_counter", iter(np.arange(0, 100, 0.25)).__next__
    )  # a quarter between readings
    work = price.measure_videos(Frames(), [video, video._replace(name="bad"), video, video], limit=0.7)
    assert work.frames == 40 and work.per_frame == 0.75 / 20  # the third reading ends it
    assert work.bytes == 40 * 4 + 4 * (tmp_path / "v.avi").stat().st_size and work.videos == 4
    with pytest.raises(VideoError, match="none of 1 videos can be read; snippets check-data"):
        price.measure_videos(Frames(), [video._replace(name="bad")], limit=1)
    job = price.Videos(frames=1200, per_frame=0.1, bytes=4e6, videos=6)
    assert job.on(1, 2, 1e6) == (60, "cores") and job.on(2, 2, 1e6) == (30, "cores")
    assert job.on(9, 2, 1e6) == (20, "cores")  # six videos are work for six cores
    assert job.on(9, 2, 1e5) == (40, "link") and job.on(1, 2, 1e5) == (60, "cores")  # one host needs no link


def test_prices_of_training():
    job = Job(build(CONFIG, 1), clips(), SETTINGS, Downpour(2, 2, fetch=1, push=1))
    bytes = 4 * sum(a.size for a in job.trained().values())
    ranks = price.synchronous_price(job, COSTS, 4, 50, compute=0.1)
    assert ranks == (pytest.approx(50 * (0.1 + 1.5 * bytes / 1e6 + 6 * 0.01)), "cores")
    one = price.downpour_price(job, COSTS, 1000)
    assert one == (pytest.approx(1000 * 0.1 / 2, rel=0.05), "cores")  # two replicas on two cores
    far = Cluster(**{**vars(COSTS), "hosts": 2, "cores": 9})
    assert price.downpour_price(job, far, 1000).bound == "cores"  # its replicas compute more than they wait
    slow = Cluster(**{**vars(far), "bandwidth": 1e3})
    found = price.downpour_price(job, slow, 1000)
    assert found.bound == "link" and found.seconds == pytest.approx(1000 * bytes / 2 / 1e3, rel=0.2)
    away = Cluster(**{**vars(far), "latency": 1.0})
    assert price.downpour_price(job, away, 1000).bound == "round trips"
    before = {key: a.copy() for key, a in job.net.params.items()}
    assert all((job.net.params[key] == a).all() for key, a in before.items())


def test_times_are_written_as_people_say_them():
    times = (0.123, 12.3, 119, 120, 7199, 7200, 172799, 172800)
    assert [price.words(t) for t in times] == [
        "0.12 s",
        "12 s",
        "119 s",
        "2.0 min",
        "120.0 min",
        "2.0 h",
        "48.0 h",
        "2.0 days",
    ]


def test_the_command_line_prices_every_job(tmp_path, monkeypatch, capsys, model):
    """Videos: decoding, features, flow and three ways to train; a file of features: these three."""
    monkeypatch.setattr(price, "measured", lambda job, limit, **given: Cluster(**{**vars(COSTS), **given}))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for kind in "ab":
        (tmp_path / "data" / kind).mkdir(parents=True)
        for g in range(1, 8):
            frames = rng.integers(0, 255, (4, 40, 56, 3), np.uint8)
            write_video(tmp_path / "data" / kind / f"v_{kind}_g{g:02d}_c01.avi", frames, 25)
    net = "--tower alexnet --size 36 --width 0.08 --head conv --fc 6 --frames 3 --tvl1 iterations=3,warps=1".split()
    how = "--price --hosts 4 --counts 2 8 --batch 4 --epochs 3 --bandwidth 1e6".split()
    assert main(["simulate", "data", *net, *how]) == 0
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    names = ["decoding", "features", "flow", "training, one process", "training, 4 ranks"]
    assert [row[0] for row in rows] == ["job", *names, "training, 2 replicas", "training, 8 replicas"]
    assert rows[0][2] == "on 4 hosts" and not (tmp_path / "runs").exists()  # nothing is kept
    steps = 3 * math.ceil(sum(1 for _ in (tmp_path / "data").rglob("*.avi")) / 4)
    assert float(rows[4][1].split()[0]) <= steps * 0.1
    assert main(["simulate", "data", "--features-of", str(model), "--price"]) == 1
    assert "--price prices features, too: leave out --features-of" in capsys.readouterr().err
    data = clips(60)
    save_features(tmp_path / "f.npz", data.stored.feat, data.labels + 1, np.arange(60) >= 44)
    assert main(["simulate", "f.npz", "--head", "conv", "--fc", "6", *how]) == 0
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[1:3]] == ["training, one process", "training, 4 ranks"]
    assert rows[1][1] == "3.3 s"  # 3 epochs of 11 batches of 0.1 s
