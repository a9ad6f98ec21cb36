"""What is told of data: one file and several, a price, the first names of a kind, how long videos are about."""

import dataclasses

import numpy as np
import pytest
from layout_folders import touched

import snippets.data.open
from snippets.data.decoder import Decoder, Source
from snippets.data.display import Header
from snippets.data.layouts.splits import Video
from snippets.data.layouts.survey import Decoded, check_dataset
from snippets.data.open import DataSpec, frames_per_video, open_data, price_cache
from snippets.data.store import processes


class Headers(Source):
    """A source of 3 x 4 x 4 float32 at 5 a second."""

    shape, dtype, rate, limit, folder = (3, 4, 4), np.dtype(np.float32), 5.0, 40, "runs/cache"


@pytest.mark.parametrize("videos, read", [(1, 1), (39, 39), (40, 20), (59, 30), (60, 20)])
def test_the_length_of_videos_is_guessed_from_about_twenty_headers(monkeypatch, videos, read):
    """Video n has n frames at 10 a second, or at a rate that is not told; resampled, and no more than the limit."""
    seen, fps = [], 10.0

    def read_header(path, picture_fps):
        seen.append(path)
        return Header(fps, path, 64, 48, fps)

    monkeypatch.setattr(snippets.data.open, "read_header", read_header)
    some = [Video(2 * n, 0, str(n), "") for n in range(videos)]
    found = frames_per_video(some, Headers())
    assert len(seen) == read and found == pytest.approx(np.mean([min(n / 2, 40) for n in seen]))
    fps = 0.0
    assert frames_per_video(some, Headers()) == pytest.approx(np.mean([min(n, 40) for n in seen]))
    native, spread = Headers(), Headers()
    native.rate = native.limit = None
    spread.spread = 7
    fps = 10.0
    assert frames_per_video(some, native) == pytest.approx(np.mean(seen[:read])) and frames_per_video(some, spread) == 7
    assert frames_per_video([], native) == 0


def test_a_price_is_told_from_a_gigabyte_on(monkeypatch, capsys):
    monkeypatch.setattr(snippets.data.open, "frames_per_video", lambda videos, source: 1000)
    monkeypatch.setattr(snippets.data.open, "check_room", lambda *told: sizes.append(told[1]))
    sizes, one = [], [Video("", 0, "", "")]
    prices = {(250, 1000): "", (250, 1001): "the frame cache of 1 videos", (500000,): "the features of 1 videos"}
    for shape, told in prices.items():
        source = Headers()
        source.shape = shape
        price_cache(one, source)
        out = capsys.readouterr().out
        assert out.startswith(told) and bool(out) == bool(told) and sizes.pop() == 4000 * np.prod(shape)
    assert "will take about 2 GB in runs/cache" in out


def test_a_process_is_worth_eight_videos(monkeypatch):
    monkeypatch.setattr(processes, "in_processes", lambda function, state, items, workers: workers)

    def workers(count, most):
        found = processes.Processes(most).map(None, None, [None] * count, None)
        return found if isinstance(found, int) else 1

    assert [workers(n, 3) for n in (0, 8, 15, 16, 23, 24, 99)] == [1, 1, 1, 2, 2, 3, 3]
    assert workers(99, 1) == 1


def test_ten_names_of_a_kind_are_shown(tmp_path):
    root = touched(tmp_path, *(f"{c}/{n:02d}.avi" for c in "ab" for n in range(10)))
    survey = check_dataset(root, Decoder(8), frames=5, progress=False)
    assert len(survey.damaged) == 20 and survey.decoded["a/00.avi"][:2] == (0, 0)
    for count, wanted in ((10, None), (11, "            and 1 more"), (20, "            and 10 more")):
        some = dict(list(survey.damaged.items())[:count])
        text = str(dataclasses.replace(survey, decoded={name: Decoded(0, 0, why) for name, why in some.items()}))
        assert f"damaged   {count} cannot be used" in text and "decoded   0 videos, 0 frames: 0 to 0" in text
        assert text.count("the file is empty") == min(count, 10)
        assert [line for line in text.splitlines() if line.startswith("            and ")] == [wanted] * bool(wanted)
    long = dataclasses.replace(survey, decoded={"a": Decoded(7, 5), "b": Decoded(0, 4), "c": Decoded(6, 6)})
    for line in ("decoded   3 videos, 15 frames: 4 to 6 per video", "header    1 declare", "a: 7 declared, 5 decoded"):
        assert line in str(long)
    assert "short     1 of fewer than 5 frames" in str(long) and "            b: 4" in str(long)


def test_one_file_and_several_files(tmp_path, capsys):
    root = touched(tmp_path, *(f"{c}/{n}.avi" for c in "ab" for n in range(6)))
    for count, told in ((0, None), (1, "ignored: 1 file (1 .txt)"), (2, "ignored: 2 files (2 .txt)")):
        if count:
            touched(root, f"a/{count}.txt")
        open_data(DataSpec(root, 24, cache=None), 1, build=False)
        assert [line for line in capsys.readouterr().out.splitlines() if "ignored" in line] == [told] * bool(told)
    for fold, lines in ((1, ["8 of 8 training videos", "4 of 4 test videos"]), ("all", ["12 of 12 videos"])):
        open_data(DataSpec(root, 24, cache=None, fold=fold, available=True), 1, build=False)
        found = capsys.readouterr().out.splitlines()
        assert [line for line in found if line.startswith("available")] == [f"available: {line}" for line in lines]
