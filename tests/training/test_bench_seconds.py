"""What things cost in seconds, by a clock that goes on by what work is said to take."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from snippets.data.layouts.splits import Video
from snippets.nets.zoo import NetConfig, build
from snippets.training.bench import seconds
from snippets.training.settings import Settings


class Clock:
    """Seconds; what a device is asked for takes its time when it is waited for."""

    now = asked = 0.0

    def __call__(self):
        return self.now

    def wait(self, x):
        self.now, self.asked = self.now + self.asked, 0.0


@pytest.fixture
def clock(monkeypatch):
    """In place of the computer's."""
    clock = Clock()
    monkeypatch.setattr(seconds.time, "perf_counter", clock)
    return clock


def timed(clock, monkeypatch, config, settings, fixed, each):
    """`step_seconds` where a step takes `fixed` and `each` a frame, a prediction 0.125 a frame; and the calls."""
    calls = []
    monkeypatch.setattr(seconds, "wait", clock.wait)
    monkeypatch.setattr(seconds, "saving_seconds", lambda net: 7.0)

    def work(kind, x, fixed, each):
        """The first call of a kind takes a second more, its third half a second."""
        clock.asked += fixed + each * x.shape[0] * x.shape[1]
        clock.asked += {0: 1, 2: 0.5}.get(calls.count((kind, x.shape)), 0)
        calls.append((kind, x.shape))

    monkeypatch.setattr(seconds, "step", lambda run, x, labels, rng: work("step", x, fixed, each))
    net = build(config)
    net.predict = lambda x: work("predict", x, 0.0, 0.125)
    return seconds.step_seconds(net, config, settings), [(kind, shape[:2]) for kind, shape in calls]


VECTORS = dict(tower="features", features=3, frames=12)
PIXELS = dict(tower="alexnet", size=36, frames=12)


@pytest.mark.parametrize("own", [VECTORS, PIXELS], ids=["vectors", "pixels"])
def test_what_a_step_costs_is_solved_from_two_sizes(own, clock, monkeypatch):
    """A step takes 2 s and 0.25 s a frame."""
    config = NetConfig(4, head="conv", fc=5, width=0.1, **own)
    found, calls = timed(clock, monkeypatch, config, Settings(batch=8), 2.0, 0.25)
    vectors = own is VECTORS
    assert found == pytest.approx((2.0, 0.25, 0.125, 7.0 if vectors else 0.0))
    N, T, times = ((2, 8), 12, 4) if vectors else ((1, 2), 10, 2)
    assert calls == [
        (kind, (n, T)) for kind, n in (("step", N[0]), ("step", N[1]), ("predict", N[1])) for _ in range(times)
    ]


@pytest.mark.parametrize(
    "batch, fixed, each, found",
    [
        (8, 9.6, 0.0, (0.9 * 9.6, 0.01)),  # a frame costs at least a tenth of what it costs with all else
        (8, 1.0, -0.01, (0.9 * 0.04, 0.1 * 0.04 / 96)),  # where the clock says that more take less
        (3, 3.6, 0.1, (3.6, 0.1)),  # from one clip and three
        (1, 1.2, 0.1, (0.0, 0.2)),  # there is one size alone: all of it is the frames'
    ],
)
def test_a_step_whose_parts_cannot_be_told_apart(batch, fixed, each, found, clock, monkeypatch):
    config = NetConfig(4, head="conv", fc=5, **VECTORS)
    got, calls = timed(clock, monkeypatch, config, Settings(batch=batch), fixed, each)
    assert got[:2] == pytest.approx(found, abs=1e-9) and {n for _, (n, _) in calls} == {max(1, batch // 4), batch}


def test_frames_are_timed_from_the_second_video_on(clock):
    """Each takes a second a frame; the first has an extra one of 100 s. After LIMIT seconds it is enough."""
    seen = []

    class Source:
        limit = None

        def stream(self, video):
            seen.append((video.name, self.limit))
            clock.now += 100 * (len(seen) == 1)
            for _ in range(2):
                clock.now += 1
                yield 0

    videos = [Video("", 0, str(n), "") for n in range(60)]
    assert seconds.frame_seconds(Source(), videos) == 1.0
    assert seen == [("0", seconds.SHORT), ("0", seconds.SHORT), ("3", seconds.SHORT), ("6", seconds.SHORT)]
    clock.now, source = 0.0, Source()
    source.tower = None
    seen.clear()
    assert seconds.frame_seconds(source, videos[:2]) == 1.0 and seen == [("0", None), ("0", None), ("1", None)]
    assert source.limit is None


def test_clips_are_read_when_all_are_stored(clock, tmp_path, monkeypatch):
    """Eight videos of twice the frames of a clip; a clip of each is read once before, then eight times in 3 s each."""
    videos = [Video(tmp_path / str(n), 0, str(n), "") for n in range(9)]
    for video in videos:
        video.path.write_bytes(video.name.encode())
    read = []

    class Noted(seconds.FeatureSet):
        def train_clip(self, i, rng):
            x = super().train_clip(i, rng)
            clock.now += 3 if len(read) >= 8 else 100
            read.append((self.names[i], self.count(i), x.shape))
            return x

    monkeypatch.setattr(seconds, "FeatureSet", Noted)
    assert seconds.reading_seconds(videos, NetConfig(4, features=5, **{"tower": "features", "frames": 6})) == 3.0
    assert read == [(str(n), 12, (6, 5)) for n in range(8)] * 9


def test_what_it_takes_to_keep_a_network(clock, monkeypatch):
    """The checkpoint, twice as large as the best network, which is written less often than not: half of it again."""
    net, saved = build(NetConfig(4, head="conv", fc=5, **VECTORS)), []

    def save(path, checkpoint):
        clock.now += 2
        saved.append((path.rpartition("/")[2], checkpoint.params.keys(), checkpoint.velocity.keys()))

    monkeypatch.setattr(seconds, "save", save)
    assert seconds.saving_seconds(net) == 3.0
    assert saved == [("checkpoint.npz", net.params.keys(), net.params.keys())]


def test_only_a_gpu_is_waited_for(monkeypatch):
    waited = []
    stream = SimpleNamespace(synchronize=lambda: waited.append(True))
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(get_current_stream=lambda: stream)))
    seconds.wait(np.zeros(1))
    assert not waited
    seconds.wait(type("ndarray", (), {"__module__": "cupy"})())
    assert waited == [True]


def test_networks_whose_parameters_depend_on_the_frames_are_timed_on_all_of_them():
    heads = {"conv": 10, "lstm": 10, "slow": 10, "local": 30, "fcpool": 30, "slowfusion": 30}
    for head, frames in heads.items():
        assert seconds.short(SimpleNamespace(head=head, frames=30)) == frames
        assert seconds.short(SimpleNamespace(head=head, frames=7)) == 7
