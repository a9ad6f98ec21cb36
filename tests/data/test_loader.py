"""Batches: the same bits whatever the threads and wherever the run stopped; no end leaves a thread hanging."""

import pickle
import threading
import time
from contextlib import closing

import numpy as np
import pytest
from waiting import until

from snippets.data.augment import cache_side
from snippets.data.decoder import Decoder
from snippets.data.layouts.splits import Video
from snippets.data.loader import ClipSet, Position, Preprocessing, Subset, batches, label_array, prepare
from snippets.data.store.store import Store
from snippets.data.video import VideoError, write_video

V = 11


class Drawn:
    """A data set whose clips are nothing but random numbers and their own index; the later ones are ready first."""

    classes, names = ["a", "b"], [str(i) for i in range(V)]
    labels = np.arange(V, dtype=np.int64) % 2

    def __len__(self):
        return V

    def train_clip(self, i, rng):
        time.sleep(0.002 * (V - i) / V)
        return np.append(rng.standard_normal(3), i).astype(np.float32)


class Pixels(Decoder):
    """A source whose frames tell frame, row and column; video k has k + 3 frames."""

    def __init__(self):
        super().__init__(side=20)

    def read(self, path):
        axes = np.arange(path + 3), np.arange(20), np.arange(20)
        yield from np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.uint8)

    def length(self, path):
        return path + 3


@pytest.fixture
def clips():
    videos = [Video(k, k % 2, str(k), "") for k in range(6)]
    return ClipSet(["a", "b"], videos, Pixels(), 5, Preprocessing(16, 0, 1))


def alive():
    return [t for t in threading.enumerate() if t.name.startswith("snippets-data")]


def test_an_epoch_is_a_permutation():
    epochs = [list(batches(Drawn(), 4, Position(3, e))) for e in (0, 1)]
    for epoch in epochs:
        assert [len(b.x) for b in epoch] == [4, 4, 3]
        assert sorted(np.concatenate([b.index for b in epoch])) == list(range(V))
        for b in epoch:
            assert (b.x.dtype, b.labels.dtype, b.index.dtype) == (np.float32, np.int64, np.int64)
            np.testing.assert_array_equal(b.x[:, 3], b.index)
            np.testing.assert_array_equal(b.labels, b.index % 2)
    order = [np.concatenate([b.index for b in epoch]) for epoch in epochs]
    assert (order[0] != order[1]).any()
    other = np.concatenate([b.index for b in batches(Drawn(), 4, Position(4))])
    assert (other != order[0]).any()
    x = np.concatenate([b.x for epoch in epochs for b in epoch])[:, 0]
    assert len(np.unique(x)) == 2 * V  # no two examples share their random numbers


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("start", [0, 2, 3])
def test_threads_and_resuming_change_no_bit(workers, start):
    expected = list(batches(Drawn(), 4, Position(3, 2)))[start:]
    found = list(batches(Drawn(), 4, Position(3, 2, start), workers=workers))
    assert len(found) == len(expected) and not alive()
    for a, b in zip(found, expected, strict=True):
        for p, q in zip(a, b, strict=True):
            np.testing.assert_array_equal(p, q)


def test_without_augmentation_every_epoch_has_the_clips_of_the_test(clips):
    """Each video's middle clip, under the same crop as one view of the test, in another order."""
    for epoch in (0, 1):
        for batch in batches(clips, 3, Position(0, epoch), augmentation="none"):
            for x, i in zip(batch.x, batch.index, strict=True):
                np.testing.assert_array_equal(x, next(clips.test_clips(i)))


@pytest.mark.parametrize("workers", [0, 3])
def test_epochs_follow_each_other(workers):
    """Three epochs in one go are the epochs one by one, an interrupted first one included."""
    one_by_one = [b for e in (2, 3, 4) for b in batches(Drawn(), 4, Position(3, e, 1 if e == 2 else 0))]
    found = list(batches(Drawn(), 4, Position(3, 2, 1), workers=workers, epochs=3))
    assert len(found) == len(one_by_one) == 8 and not alive()
    for a, b in zip(found, one_by_one, strict=True):
        for p, q in zip(a, b, strict=True):
            np.testing.assert_array_equal(p, q)
    assert list(batches(Drawn(), 4, Position(3, 2), workers=workers, epochs=0)) == []


def test_the_next_batch_is_there_before_it_is_asked_for_even_between_epochs():
    """During a step of any length the threads get all examples of the next batch ready: computing does not wait."""
    ready = []

    class Counted(Drawn):
        def train_clip(self, i, rng):
            clip = super().train_clip(i, rng)
            ready.append(i)
            return clip

    sizes, taken = [4, 4, 3] * 4, 0
    with closing(batches(Counted(), 4, Position(0), workers=2, epochs=4)) as source:
        for n, batch in enumerate(source):
            taken += len(batch.index)
            until(lambda: len(ready) >= taken + sum(sizes[n + 1 : n + 2]), f"batch {n + 1}")  # noqa: B023
    assert taken == len(ready) == sum(sizes)


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_reach_the_caller(tmp_path, workers):
    """A bad file is named, and no thread is left."""
    (tmp_path / "bad.avi").write_text("text")
    videos = [Video(tmp_path / "bad.avi", 0, "bad.avi", "")] * 5
    with pytest.raises(VideoError, match="bad.avi: not a video"):
        list(batches(ClipSet(["a"], videos, Decoder(20), 5, Preprocessing(16)), 2, Position(0), workers=workers))
    assert not alive()


def test_an_early_end_leaves_no_thread():
    with closing(batches(Drawn(), 2, Position(0), workers=3)) as source:
        next(source)
        assert alive()
    assert not alive()
    source = batches(Drawn(), 2, Position(0), workers=3)
    next(source)
    del source
    assert not alive()


def test_work_ahead_is_bounded():
    started = []
    with closing(prepare(started.append, range(100), workers=2, ahead=5)) as results:
        next(results)
        until(lambda: len(started) == 6)
        time.sleep(0.05)
        assert len(started) == 6

    class Counted(Drawn):
        def train_clip(self, i, rng):
            started.append(i)
            return super().train_clip(i, rng)

    started.clear()
    with closing(batches(Counted(), 2, Position(0), workers=1)) as source:
        next(source)
        until(lambda: len(started) == 2 + 3)
        time.sleep(0.05)
        assert len(started) == 2 + 3  # the batch in hand, the next one, and one example a thread


def test_what_waits_for_a_thread_at_an_early_end_is_not_done():
    """The first of 500 results is enough, of which each takes a fiftieth of a second."""
    done = []
    with closing(prepare(lambda n: time.sleep(n and 0.02) or done.append(n), range(500), 1, 500)) as results:
        next(results)
    assert 0 in done and len(done) < 500 and not alive()


def test_bad_arguments():
    for name, wrong in (("batch", {"batch": 0}), ("step", {"start": Position(0, 0, -1)}), ("workers", {"workers": -1})):
        with pytest.raises(ValueError, match=f"{name} is "):
            batches(Drawn(), **{"batch": 4, "start": Position(0), **wrong})
    with pytest.raises(ValueError, match="no training examples"):
        batches(ClipSet([], [], Pixels(), 1, Preprocessing(16)), 4, Position(0))
    with pytest.raises(ValueError, match="does not fit into frames of 20x20"):
        ClipSet([], [], Pixels(), 1, Preprocessing(21))
    with pytest.raises(ValueError, match="frames is 0"):
        ClipSet([], [], Pixels(), 0, Preprocessing(16))


def test_training_clips(clips, rng):
    """Frames in a row, the short video from its start again; one crop for all frames, another one for the next clip."""
    firsts, corners = set(), set()
    for _ in range(60):
        x = clips.train_clip(5, rng)  # 8 frames
        assert x.shape == (5, 16, 16, 3) and x.dtype == np.float32
        assert (np.diff(x[:, 0, 0, 0]) == 1).all()
        assert (x[..., 1:] == x[:1, ..., 1:]).all()
        firsts.add(x[0, 0, 0, 0])
        corners.add((x[0, 0, 0, 1], x[0, 0, 0, 2]))
    assert firsts == {0, 1, 2, 3} and len(corners) > 20
    assert clips.train_clip(0, rng)[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1]
    assert clips.labels.tolist() == [0, 1, 0, 1, 0, 1] and clips.names == list("012345") and len(clips) == 6


def test_test_clips(clips, rng):
    """One view: the middle, centred, the same every time. More: from end to end, each with a crop of its own."""
    (x,) = clips.test_clips(5, 1)
    assert x[:, 0, 0].tolist() == [[t, 2, 2] for t in range(1, 6)]
    views = list(clips.test_clips(5, 4, rng))
    assert [v[0, 0, 0, 0] for v in views] == [0, 1, 2, 3]
    assert len({(v[0, 0, 0, 1], v[0, 0, 0, 2]) for v in views}) > 1
    again = list(clips.test_clips(5, 4, np.random.default_rng(0)))
    np.testing.assert_array_equal(views, again)
    with pytest.raises(ValueError, match="4 views need rng"):
        next(clips.test_clips(5, 4))
    whole = clips.whole_video(2)
    assert whole.shape == (5, 16, 16, 3) and whole[:, 0, 0].tolist() == [[t, 2, 2] for t in range(5)]


def test_videos_of_one_length(rng):
    """With a length, shorter videos repeat from the start up to there, in training, in views, and whole."""
    videos = [Video(k, k % 2, str(k), "") for k in range(6)]
    clips = ClipSet(["a", "b"], videos, Pixels(), 5, Preprocessing(16, 0, 1), length=8)
    starts = set()
    for _ in range(40):
        x = clips.train_clip(0, rng)[:, 0, 0, 0]  # a video of 3 frames
        assert (np.diff(x) % 3 == 1).all()
        starts.add(x[0])
    assert starts == {0, 1, 2}
    assert [v[0, 0, 0, 0] for v in clips.test_clips(0, 4, rng)] == [0, 1, 2, 0]
    assert clips.whole_video(0)[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert [len(x) for x in clips.blocks(0, block=3)] == [3, 3, 2]
    np.testing.assert_array_equal(np.concatenate(list(clips.blocks(0, block=3))), clips.whole_video(0))
    clips.length = 67
    assert [len(x) for x in clips.blocks(0)] == [32, 32, 3] and Position(3) == (3, 0, 0)


def test_a_source_that_gives_fewer_windows_than_were_asked_for_is_an_error(clips, rng, monkeypatch):
    """And not fewer clips of a test."""
    monkeypatch.setattr(clips.source, "take", lambda video, windows: iter([np.zeros((5, 20, 20, 3), np.uint8)]))
    with pytest.raises(ValueError, match="longer than argument 1"):
        list(clips.test_clips(0, 2, rng))


def test_labels_of_several_classes():
    """Tuples of classes become rows of a bool matrix, which batches hand on; a set without any stays integers."""
    videos = [Video(k, label, str(k), "") for k, label in enumerate([(1,), (0, 2), (2,)])]
    clips = ClipSet(list("abc"), videos, Pixels(), 2, Preprocessing(16))
    assert clips.labels.dtype == bool and clips.labels.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 1]]
    for batch in batches(clips, 2, Position(0)):
        np.testing.assert_array_equal(batch.labels, clips.labels[batch.index])
    assert label_array([2, 0], 3).dtype == np.int64 and label_array([2, 0], 3).tolist() == [2, 0]


def test_from_files_through_the_cache(tmp_path):
    """The whole way, decoded afresh and through the cache: the same batches."""
    videos = []
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 256, (6 + k, 6, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
        write_video(tmp_path / f"{k}.avi", pixels, fps=25)
        videos.append(Video(tmp_path / f"{k}.avi", k, f"{k}.avi", f"{k}.avi"))
    side = cache_side(28)
    sources = Decoder(side), Store(tmp_path / "cache", Decoder(side))
    sets = [ClipSet(list("abc"), videos, source, 4, Preprocessing(28)) for source in sources]
    plain, cached = (list(batches(s, 2, Position(1), workers=w)) for s, w in zip(sets, (0, 2), strict=True))
    for a, b in zip(plain, cached, strict=True):
        np.testing.assert_array_equal(a.x, b.x)
        assert a.x.shape[1:] == (4, 28, 28, 3) and -1 <= a.x.min() < -0.5 and 0.5 < a.x.max() <= 1


def test_some_rows_of_a_data_set_travel_to_another_process():
    data = Drawn()
    data.groups, data.frames = [f"g{i}" for i in range(V)], 5
    some = pickle.loads(pickle.dumps(Subset(data, [3, 1])))
    assert (some.names, some.groups, some.frames, len(some)) == (["3", "1"], ["g3", "g1"], 5, 2)
    assert some.labels.tolist() == [1, 1] and some.classes == ["a", "b"]
