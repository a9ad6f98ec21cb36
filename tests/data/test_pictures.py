"""Videos that are folders of numbered pictures."""

import numpy as np
import pytest
from films import number, numbered
from imageio.v3 import imwrite
from layout_folders import films, make_pictures, names, pictures
from PIL import Image

from snippets.data.decoder import Decoder
from snippets.data.layouts.splits import Video
from snippets.data.layouts.survey import check_dataset
from snippets.data.layouts.table import VideoFolder
from snippets.data.loader import Preprocessing
from snippets.data.open import DataSettings, DataSpec, open_data
from snippets.data.store.store import Store
from snippets.data.video import VideoError, open_film, read_frames, read_header
from snippets.training.cli.main import main, parser
from snippets.training.cli.train import spec_for


@pytest.mark.parametrize("form", ["frame{:06d}.png", "img_{:05d}.jpg", "{}.JPEG", "take2-{}.png"])
def test_pictures_are_a_video(tmp_path, form):
    """In the order of numbers, at 25 per second or another rate, in the decoder, in the cache and resampled."""
    folder = pictures(tmp_path / "v", range(5, 17), form=form)
    (folder / "._1.png").write_bytes(b"\0")
    (folder / "cover.jpg").write_bytes(b"\0")
    assert [number(x) for x in read_frames(folder)] == list(range(12))
    assert [number(x) for x in read_frames(folder, 12.5)] == [number(x) for x in read_frames(folder, 5, picture_fps=10)]
    assert len(list(read_frames(folder, 12.5))) == 6 and len(list(read_frames(folder, 12.5, picture_fps=12.5))) == 12
    assert vars(read_header(folder)) == dict(fps=25, frames=12, width=64, height=48, beat=25)
    with open_film(folder, 10) as film:
        assert list(film.times()) == [t / 10 for t in range(12)]
    with open_film(folder, 10) as film:
        shown = [(float(start), float(end)) for start, end, _ in film.pictures()]
        assert shown == [(t / 10, (t + 1) / 10) for t in range(12)]
    cache, video = Store(tmp_path / "c", Decoder(24)), Video(folder, 0, "v", "v")
    assert [number(x) for x in cache.frames(video)] == list(range(12))
    imwrite(folder / form.format(5), numbered(99))
    assert [number(x) for x in Store(tmp_path / "c", Decoder(24)).frames(video)] == [99, *range(1, 12)]
    slow = Decoder(24, picture_fps=10)
    assert slow.name == "24px_native_pictures10fps" and slow.parameters == Decoder(24).parameters | {"picture_fps": 10}


def test_a_picture_is_turned_as_its_camera_says(tmp_path):
    """EXIF orientation 6: the camera was held on its side, and row 0 of the file is the right side of the picture."""
    upright = np.repeat(np.repeat(np.uint8([[[250, 0, 0], [0, 250, 0]]]), 32, axis=0), 32, axis=1)  # red left of green
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "v").mkdir()
    for n in (1, 2):
        Image.fromarray(np.rot90(upright)).save(tmp_path / "v" / f"{n}.jpg", quality=95, exif=exif)
    for frame in read_frames(tmp_path / "v"):
        assert frame.shape == upright.shape and np.abs(frame.astype(int) - upright).mean() < 5


def test_pictures_that_are_damaged_missing_or_of_two_series(tmp_path):
    root = films(tmp_path / "d", "a/1/", "a/2/", "b/1/", "b/2/", "b/3/")
    (root / "a/1/frame000003.png").unlink()
    cut = root / "b/1/frame000004.png"
    cut.write_bytes(cut.read_bytes()[:-40])
    imwrite(root / "b/2/flow_00001.png", numbered(3))
    imwrite(root / "b/3/frame1.png", numbered(3))
    survey = check_dataset(root, progress=False)
    assert survey.clocks == ["a/1: gaps in the numbers of pictures: 1 missing, after frame000002.png first"]
    assert [message.split(": ")[0] for message in survey.damaged.values()] == [
        str(cut),
        str(root / "b/2"),
        str(root / "b/3"),
    ]
    assert "two series of pictures, flow_00001.png and frame000001.png" in survey.damaged["b/2"]
    assert "frame000001.png and frame1.png have one number" in survey.damaged["b/3"]
    with open_film(pictures(tmp_path / "gaps", (0, 10, 20, 40, 50, 90))) as film:
        assert film.clock_fault() == "gaps in the numbers of pictures: 4 missing, after frame000020.png first"
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="empty: a folder, expected a video file, or a folder of numbered pictures"):
        next(read_frames(tmp_path / "empty"))
    pictures(tmp_path / "steps", range(0, 50, 5))
    with pytest.raises(VideoError, match="frame000015.png: not a picture, or damaged"):
        (tmp_path / "steps/frame000015.png").write_text("text")
        list(read_frames(tmp_path / "steps"))


def test_the_rate_of_pictures_is_an_option(tmp_path, capsys):
    """Five pictures: at 12.5 per second three of 25, all of 12.5; in every command, and kept in the checkpoint."""
    root, rates = make_pictures(tmp_path / "d"), ["--fps", "12.5", "--picture-fps"]
    flow = ["flow", str(root), "--size", "24", "--tvl1", "iterations=2,warps=1", "--flow-fps", "12.5", *rates]
    for rate, frames, images in (("25", 3, 2), ("12.5", 5, 4)):
        assert main(["check-data", str(root), *rates, rate]) == 0
        assert f"6 videos, {6 * frames} frames" in capsys.readouterr().out
        for command in ("train", "simulate"):
            spec = spec_for(
                parser().parse_args([command, str(root), "--size", "24", "--cache", "none", *rates, rate]), 1
            )
            assert open_data(spec, 1)[0].count(0) == frames
        tower = ["--cache", str(tmp_path / f"features {rate}"), "--tower", "alexnet", "--size", "36", "--width", "0.05"]
        assert main(["features", str(root), *tower, *rates, rate]) == 0
        (manifest,) = (tmp_path / f"features {rate}").rglob("manifest.jsonl")
        assert manifest.read_text().count(f'"frames": {frames},') == 6
        assert main([*flow, rate, "--cache", str(tmp_path / rate)]) == 0
        assert {len(np.load(path)) for path in (tmp_path / rate).rglob("*.npy")} == {images}


def test_official_lists_name_folders_of_pictures(tmp_path):
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 a\n2 b\n")
    (lists / "trainlist01.txt").write_text("a/v_a_g01_c01.avi 1\nb/v_b_g01_c01.avi 2\n")
    (lists / "testlist01.txt").write_text("a/v_a_g02_c01.avi\nb/v_b_g02_c01.avi\n")
    films(tmp_path, *(f"{c}/v_{c}_g0{g}_c01/" for c in "ab" for g in (1, 2)))
    split = VideoFolder(tmp_path).load(1)
    assert names(split.test) == ["a/v_a_g02_c01.avi", "b/v_b_g02_c01.avi"]
    assert all(v.path.is_dir() for v in split.train + split.test)
    assert VideoFolder(tmp_path).ignored(v.path for v in split.train + split.test) == []
    settings = DataSettings(fps=12.5, picture_fps=12.5)
    sets = open_data(DataSpec(tmp_path, 24, settings, 1, tmp_path / "cache", progress=False), 2)
    assert sets[0].count(0) == 5 and sets[0].preprocessing == Preprocessing(24)
