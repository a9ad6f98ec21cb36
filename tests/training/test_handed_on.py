"""What a training and a test hand on: to the loader, to other ranks, to bars of progress and to videos."""

import dataclasses
from types import SimpleNamespace

import pytest
from toy_clips import Clips, pooled

from snippets.data.loader import Views
from snippets.training import evaluate, loop, step
from snippets.training.alone import Ranks
from snippets.training.evaluate import evaluate_whole
from snippets.training.render import predictions as render
from snippets.training.settings import Settings

SETTINGS = Settings(epochs=2, batch=4, seed=3, augmentation="none", inference="last")  # 3 steps an epoch


class Bar:
    """In place of tqdm: notes how it was made and what it was told."""

    made = []

    def __init__(self, items=None, **how):
        self.items, self.how, self.told = items, how, []
        self.made.append(self)

    def __iter__(self):
        return iter(self.items)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def update(self):
        self.told.append("step")

    def set_postfix(self, numbers, **how):
        self.told.append((numbers, how))


@pytest.fixture
def bars(monkeypatch):
    """The bars that are made, in place of all of tqdm's."""
    monkeypatch.setattr(Bar, "made", [])
    for module in (step, evaluate, render):
        monkeypatch.setattr(module, "tqdm", Bar)
    return Bar.made


class Team(Ranks):
    """One of several ranks, whose sums are its own alone; notes what it is asked for."""

    def __init__(self, rank=0, size=1):
        super().__init__()
        self.rank, self.size, self.asked = rank, size, []

    def same(self, value):
        self.asked.append(("same", value))
        return value

    def check_same(self, arrays):
        self.asked.append(("check", arrays))


def test_a_bar_of_an_epoch_goes_from_its_first_step_to_its_last(bars, tmp_path):
    """Three decimals of what the log says in full; a step is shown when the next one is due."""
    history = loop.train(pooled(), Clips(), SETTINGS)
    for n, bar in enumerate(bars, 1):
        assert bar.how == {"total": 3, "initial": 0, "desc": f"epoch {n}/2", "disable": False}
        assert bar.told[::2] == ["step"] * 3 and all(how == {"refresh": False} for _, how in bar.told[1::2])
        last, record = bar.told[-1][0], history[n - 1]
        assert last == {key: round(record[key], 3) for key in ("loss", "accuracy", "data_seconds", "compute_seconds")}
    assert len(bars) == 2
    bars.clear()
    clips, seen = Clips(), []

    def stop(i):
        seen.append(i)
        if len(seen) == 9:
            raise KeyboardInterrupt

    clips.hook = stop
    settings = dataclasses.replace(SETTINGS, augmentation="random")
    with pytest.raises(KeyboardInterrupt):
        loop.train(pooled(), clips, settings, folder=tmp_path)
    loop.train(pooled(), Clips(), settings, folder=tmp_path, resume=True, progress=False)
    assert [bar.how["initial"] for bar in bars] == [0, 2, 0] and [bar.how["disable"] for bar in bars] == [
        False,
        True,
        True,
    ]


def test_bars_of_tests(bars):
    """They are gone when the test is over, and where nobody looks: on other ranks, and where there is no screen."""
    net, clips = pooled(), Clips()
    shown = {"desc": "evaluate", "unit": "video", "leave": False}
    evaluate.evaluate(net, clips)
    with pytest.raises(ValueError, match="video video0 gave no test clip"):
        evaluate.evaluate(net, clips, ranks=Team(1, 3))
    clips.blocks = lambda i: iter([clips.x[i]])
    evaluate_whole(net, clips)
    assert [bar.how for bar in bars] == [
        shown | {"disable": None},
        shown | {"disable": True},
        shown | {"disable": None},
    ]
    assert [list(bar.items) for bar in bars] == [list(range(10)), [1, 4, 7], list(range(10))]


def test_bars_of_a_rendered_video(bars, monkeypatch, tmp_path):
    """Of the frames that are seen, and of those that are drawn, as many as the file says."""
    monkeypatch.setattr(render, "watch", lambda seen, frames: (SimpleNamespace(frames=len(list(frames))), "answer"))
    monkeypatch.setattr(render, "moments", lambda path, seen, T: [T])
    monkeypatch.setattr(render, "draw", lambda *how: iter([how[2:]]))
    written = []
    monkeypatch.setattr(
        render, "write_film", lambda path, images, *how, **more: written.append((list(images), how, more))
    )
    monkeypatch.setattr(render, "write", lambda out, content: content(SimpleNamespace(name="temporary")))
    seen = SimpleNamespace(data=SimpleNamespace(picture_fps=7))
    for header, total, beat, out in (((0, None), None, 25, "b\n.avi"), ((5, 30), 5, 30, "b.mp4")):
        bars.clear()
        found = SimpleNamespace(frames=header[0], beat=header[1])
        monkeypatch.setattr(render, "read_header", lambda path, fps, found=found: found if fps == 7 else None)
        assert render.render(tmp_path / "a\n.avi", tmp_path / out, seen, ["x", "y"]) == "answer"
        frames, drawn = (bar.how for bar in bars)
        assert frames == {"desc": render.listing.shown("a\n.avi"), "unit": "frame"}
        assert drawn == {"desc": render.listing.shown(out), "unit": "frame", "total": total}
        images, how, more = written.pop()
        codec = {"avi": "mpeg4", "mp4": "libx264"}[out[-3:]]
        assert how == (beat,) and more == {"codec": codec, "container": out[-3:]}
        assert images == [([2], SimpleNamespace(frames=2), "answer", seen, None)]


@pytest.mark.parametrize("rank, size", [(0, 1), (0, 2), (1, 2)])
def test_what_a_training_asks_of_the_loader_of_tests_and_of_its_ranks(rank, size, monkeypatch, tmp_path, capsys):
    asked, tested, batches = [], [], loop.batches
    monkeypatch.setattr(loop, "batches", lambda *how: asked.append(how) or batches(*how))
    found = SimpleNamespace(summary=lambda: {"hit1": 0.5})
    monkeypatch.setattr(loop, "evaluate", lambda *how: tested.append(how) or found)
    net, clips, tests, team = pooled(), Clips(), Clips(seed=1), Team(rank, size)
    loop.train(net, clips, SETTINGS, test=tests, folder=tmp_path, ranks=team, workers=2, evaluate_every=2)
    assert asked == [(clips, 4, (3, 0, 0), 2, 2, (rank, size), "none")]
    assert tested == [(net, tests, 1, 4, "last", 3, team)]
    kinds = [kind for kind, _ in team.asked]
    assert kinds == ["same"] * 3 + ["check"] * 2  # parameters, velocities, the position; after each epoch
    assert [set(value) == set(net.params) for _, value in team.asked] == [True, True, False, True, True]
    assert team.asked[2][1].keys() == set(loop.POSITION)
    assert ("test 50.0 %" in capsys.readouterr().out) == (rank == 0)
    names = {"checkpoint.npz", "log.jsonl"} if rank == 0 else set()
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == names


def test_a_test_asks_for_views_by_seed_and_video():
    class Noted(Clips):
        def test_clips(self, i, views, rng):
            asked.append((i, views, rng.bit_generator.seed_seq.entropy))
            return super().test_clips(i, views, rng)

    for views in (1, Views(2)):
        asked = []
        evaluate.evaluate(pooled(), Noted(V=3), views, seed=5)
        assert asked == [(i, views, [5, i]) for i in range(3)]


def test_a_group_goes_with_its_videos():
    clips = Clips(V=3)
    clips.blocks = lambda i: iter([clips.x[i]])
    for groups in (list("gfg"), None):
        if groups:
            clips.groups = groups
        else:
            del clips.groups
        assert evaluate.evaluate(pooled(), clips).groups == evaluate_whole(pooled(), clips).groups == groups
