"""Feature files: read, scaled, split; refused if they are not what they should be."""

import numpy as np
import pytest

from snippets.data.features import fold_in, load_features, save_features
from snippets.data.loader import Position, batches


def example(**changed):
    """4 videos x 6 frames x 3 features; feature d of frame t of video v is 30 v + 3 t + d."""
    arrays = {
        "feat": np.arange(72, dtype=np.uint8).reshape(4, 6, 3) + 12 * np.arange(4, dtype=np.uint8)[:, None, None],
        "label": np.array([8, 2, 8, 2], np.uint8),
        "is_test": np.array([0, 0, 1, 0], np.uint8),
        "name": np.array(["Yoyo/a.avi", "Archery/b.avi", "Yoyo/c.avi", "Archery/d.avi"]),
        "scale": np.array([0.5], np.float32),
    }
    return {key: value for key, value in (arrays | changed).items() if value is not None}


def write(path, **changed):
    np.savez(path, **example(**changed))
    return path


def test_load(tmp_path):
    """Labels 2 and 8 become 0 and 1 with the right names; each side gets its videos; values are feat * scale."""
    train, test = load_features(write(tmp_path / "f.npz"))
    assert train.classes == test.classes == ["Archery", "Yoyo"]
    assert train.labels.tolist() == [1, 0, 0] and test.labels.tolist() == [1] and train.labels.dtype == np.int64
    assert train.names == ["Yoyo/a.avi", "Archery/b.avi", "Archery/d.avi"] and test.names == ["Yoyo/c.avi"]
    x = train.whole_video(2)
    assert x.dtype == np.float32 and train.stored.feat.dtype == np.uint8
    np.testing.assert_array_equal(x, (90 + np.arange(18).reshape(6, 3)) / 2)
    np.testing.assert_array_equal(next(test.test_clips(0)), (60 + np.arange(18).reshape(6, 3)) / 2)
    some = write(tmp_path / "g.npz", name=np.array(["Yoyo/a.avi", "b.avi", "Yoyo/c.avi", "Archery/d.avi"]))
    assert load_features(some)[0].classes == ["2", "8"]  # not all names have a folder


def test_windows(tmp_path, rng):
    """Frames in a row from any start that fits; repeated from the start where there are too few."""
    train, test = load_features(write(tmp_path / "f.npz", scale=None), frames=4)
    firsts = set()
    for _ in range(50):
        x = train.train_clip(1, rng)
        assert x.shape == (4, 3) and (np.diff(x[:, 0]) == 3).all()
        firsts.add((x[0, 0] - 30) / 3)
    assert firsts == {0, 1, 2}
    assert [x[0, 0] for x in test.test_clips(0, 3)] == [60, 63, 66]
    assert [x[0, 0] for x in test.test_clips(0)] == [63]
    long, _ = load_features(tmp_path / "f.npz", frames=8)
    assert long.train_clip(0, rng)[:, 0].tolist() == [0, 3, 6, 9, 12, 15, 0, 3]
    (batch,) = batches(train, 5, Position(0), workers=2)
    assert batch.x.shape == (3, 4, 3)
    np.testing.assert_array_equal(batch.x[:, 0, 0] // 30, np.array([0, 1, 3])[batch.index])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_any_number_type_gives_float32(tmp_path, dtype):
    scale = np.array([1, 2, 4], np.float64)
    train, _ = load_features(write(tmp_path / "f.npz", feat=example()["feat"].astype(dtype), scale=scale, name=None))
    x = train.whole_video(1)
    assert x.dtype == np.float32 and train.classes == ["2", "8"]
    np.testing.assert_array_equal(x, (30 + np.arange(18).reshape(6, 3)) * scale)


def test_save_and_load(tmp_path):
    save_features(tmp_path / "f.npz", **example())
    assert [p.name for p in tmp_path.iterdir()] == ["f.npz"]
    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        for key, value in example().items():
            np.testing.assert_array_equal(file[key], value)
    with pytest.raises(ValueError, match=r"label has shape \(3,\), expected \(4,\)"):
        save_features(tmp_path / "f.npz", **example(label=[1, 2, 3]))
    assert len(load_features(tmp_path / "f.npz")[0]) == 3


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"label": None}, r"no array 'label', found \['feat', 'is_test', 'name', 'scale'\]"),
        (
            {"feat": np.zeros((4, 3), np.float32)},
            r"feat is float32 \(4, 3\), expected numbers \(videos, frames, features\)",
        ),
        ({"feat": np.zeros((4, 0, 3), np.float32)}, r"feat is float32 \(4, 0, 3\)"),
        ({"feat": np.full((4, 6, 3), "x")}, "feat is <U1"),
        ({"label": np.array([1.0, 2, 1, 2])}, "label has dtype float64, expected integers"),
        ({"is_test": np.array([0, 1])}, r"is_test has shape \(2,\), expected \(4,\), one per video"),
        ({"is_test": np.array([0, 1, 2, 0])}, "is_test holds other values than 0 and 1"),
        ({"scale": np.ones(2)}, r"scale is float64 \(2,\), expected one finite number or 3"),
        ({"scale": np.array(np.nan)}, "expected one finite number or 3"),
        ({"name": np.array(["A/a", "B/b", "B/c", "B/d"])}, "label 8 goes with A and B"),
        ({"name": np.array(["A/a", "A/b", "A/c", "A/d"])}, "label 2 goes with A"),
        ({"feat": np.zeros((4, 6, 3), bool)}, r"feat is bool \(4, 6, 3\)"),
        ({"name": np.array(["A/a"])}, r"name has shape \(1,\), expected \(4,\), one per video"),
        ({"group": np.array([["a", "b"]] * 4)}, r"group has shape \(4, 2\), expected \(4,\), one per video"),
        ({"scale": np.array(["x"])}, r"scale is <U1 \(1,\), expected one finite number or 3"),
        ({"scale": np.array([1, np.inf, 1])}, r"scale is float64 \(3,\), expected one finite number or 3"),
        (
            {"classes": np.array([list("abcd"), list("efgh")])},
            "label holds 2 to 8, expected 1 to 8, one for each class",
        ),
        ({"classes": np.array(list("abcdefg"))}, "label holds 2 to 8, expected 1 to 7, one for each class"),
        ({"fold": np.array(1.5)}, r"fold is array\(1.5\), expected one whole number"),
        ({"label": np.array([1, 2, 1, 2], object)}, "not an .npz file of plain arrays, or damaged"),
    ],
)
def test_bad_files(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        load_features(write(tmp_path / "f.npz", **changed))


def test_several_classes_and_a_fold(tmp_path):
    """Multi-hot labels and their names, and the fold, come back as they were saved; a file without a fold has none."""
    arrays, hot = example(scale=None), np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    arrays["label"] = hot
    save_features(tmp_path / "f.npz", **arrays, classes=["a", "b", "c"], fold=3)
    train, test = load_features(tmp_path / "f.npz")
    assert train.classes == ["a", "b", "c"] and train.labels.dtype == bool and fold_in(tmp_path / "f.npz") == 3
    np.testing.assert_array_equal(train.labels, hot[[0, 1, 3]] > 0)
    np.testing.assert_array_equal(test.labels, hot[[2]] > 0)
    assert load_features(write(tmp_path / "g.npz", label=hot))[0].classes == ["0", "1", "2"]
    assert fold_in(tmp_path / "g.npz") is None
    for changed, message in (
        ({"label": 2 * hot}, "label .videos, classes. must hold 0 and 1 only"),
        ({"label": hot * (np.arange(4) > 0)[:, None]}, "a 1 for every video"),
        ({"label": hot[:3]}, r"label has shape \(3, 3\), expected \(4,\)"),
        ({"label": hot, "classes": np.array(["a", "b"])}, "expected one name for each of 3"),
        ({"fold": np.array([1, 2])}, "expected one whole number"),
        ({"label": hot, "is_test": np.array([0, 1])}, r"is_test has shape \(2,\), expected \(4,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            load_features(write(tmp_path / "bad.npz", **changed))


def test_one_class_alone_and_clips_of_the_length_that_they_have(tmp_path):
    save_features(tmp_path / "f.npz", **example(label=np.array([1, 1, 1, 1]), classes=np.array(["a"])))
    train, test = load_features(tmp_path / "f.npz")
    assert train.classes == test.classes == ["a"] and not train.labels.any()
    assert train.in_clips(None) is train is train.in_clips(6) and train.in_clips(2).frames == 2


def test_nan_missing_truncated(tmp_path):
    feat = np.ones((4, 6, 3), np.float16)
    feat[2, 5, 0] = np.nan
    with pytest.raises(ValueError, match="feat of video 2 holds NaN or infinite values"):
        load_features(write(tmp_path / "f.npz", feat=feat))
    with pytest.raises(FileNotFoundError, match="none.npz: no such file"):
        load_features(tmp_path / "none.npz")
    data = write(tmp_path / "f.npz").read_bytes()
    for keep in (0, 100, len(data) // 2):
        (tmp_path / "f.npz").write_bytes(data[:keep])
        with pytest.raises(ValueError, match="f.npz: not an .npz file of plain arrays, or damaged"):
            load_features(tmp_path / "f.npz")
    with pytest.raises(ValueError, match="frames is 0"):
        load_features(write(tmp_path / "f.npz"), frames=0)


def test_real_features(shared):
    """The official split of seven UCF-101 classes, kept as uint8."""
    train, test = load_features(shared / "ucf101_features" / "full4096_u8.npz")
    assert train.classes == [
        "ApplyLipstick",
        "Archery",
        "BabyCrawling",
        "BalanceBeam",
        "BandMarching",
        "BaseballPitch",
        "Basketball",
    ]
    assert (len(train), len(test)) == (678, 260) and train.stored.feat.dtype == np.uint8
    assert all(train.classes[k] == name.split("/")[0] for k, name in zip(train.labels, train.names, strict=True))
    x = train.whole_video(0)
    assert x.shape == (25, 4096) and x.dtype == np.float32 and 1 < x.max() < 12
    train, test = load_features(shared / "ucf101_features" / "fixture_5cls_pca128_f16.npz", frames=10)
    assert (len(train), len(test), len(train.classes)) == (70, 35, 5)
    assert next(test.test_clips(0)).shape == (10, 128)


def test_unit_features_have_mean_square_one_and_zeros_stay(tmp_path):
    feat = np.random.default_rng(0).integers(0, 200, (4, 3, 8)).astype(np.uint8)
    feat[1, 2] = 0
    save_features(tmp_path / "f.npz", feat, [1, 1, 2, 2], [0, 1, 0, 1], scale=0.1)
    train, test = load_features(tmp_path / "f.npz", unit=True)
    np.testing.assert_allclose(np.square(train.whole_video(0)).mean(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        test.whole_video(0)[0] / feat[1, 0], test.whole_video(0)[0, 0] / feat[1, 0, 0], rtol=1e-5
    )
    assert not test.whole_video(0)[2].any()
    np.testing.assert_array_equal(next(train.test_clips(0)), train.whole_video(0))


def test_an_array_that_is_no_part_of_the_file_is_refused(tmp_path):
    with pytest.raises(TypeError, match="names is no part of a feature file"):
        save_features(tmp_path / "f.npz", np.ones((2, 3, 4)), [1, 2], [0, 1], names=["a", "b"])
    assert not (tmp_path / "f.npz").exists()
