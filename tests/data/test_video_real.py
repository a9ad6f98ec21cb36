"""Decoding real clips: UCF-101, HMDB51, Kinetics."""

import pytest

from snippets.data.video import VideoError, read_frames, read_header

# decoded frames of the real clips; RATRACE and hmdb51 declare one more (packed B-frames cost one)
REAL = {
    "Archery_tmbo_video1.avi": 131,
    "BabyCrawling_tmbo_video3.avi": 185,
    "RATRACE_wave_f_nm_np1_fr_goo_37.avi": 72,
    "SOX5yA1l24A.mp4": 332,
    "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi": 83,
    "v_ApplyEyeMakeup_g01_c01.avi": 164,
    "v_BaseballPitch_g01_c01.avi": 107,
    "v_Basketball_g01_c01.avi": 141,
    "v_SoccerJuggling_g23_c01.avi": 240,
}


@pytest.mark.parametrize("name", REAL)
def test_real_clips(shared, name):
    """The known number of frames; at the file's own rate the same frames again, none twice (packed B-frames)."""
    path = shared / "clips" / name
    frames = [frame.tobytes() for frame in read_frames(path, size=64)]
    assert len(frames) == REAL[name]
    timed = [frame.tobytes() for frame in read_frames(path, fps=read_header(path).fps, size=64)]
    assert timed == frames
    at_six = len(list(read_frames(path, fps=6, size=64)))
    assert abs(at_six - len(frames) / read_header(path).fps * 6) <= 1


@pytest.mark.parametrize("name", ["v_Basketball_g01_c01.avi", "v_ApplyEyeMakeup_g01_c01.avi", "SOX5yA1l24A.mp4"])
def test_real_clips_truncated(shared, tmp_path, name):
    path = shared / "clips" / name
    data = path.read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match=name):
        list(read_frames(tmp_path / name, size=64))
