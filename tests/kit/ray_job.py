"""A job over one video for Ray's tasks, on a stand-in for a cluster of two hosts."""

from pathlib import Path

from ray_stand_in import ray_stand_in

from snippets.data.layouts.splits import Video
from snippets.training.distributed import ray_tasks
from snippets.training.distributed.ray_tasks import Host

ME = Host("10.0.0.1 (name of 10.0.0.1)", "Zen")
VIDEO = Video("v.avi", 0, "abc", "g")


class Source:
    """Notes in `told` what it is told about where it computes."""

    told = []

    def one_thread(self):
        self.told.append("one thread")

    def compute_on(self, xp):
        self.told.append(xp)


def produce(source, video):
    yield from video.name


def ray_for_a_job(monkeypatch, folder):
    """The stand-in for Ray, in a folder that has the video; this host is ME, and no process has read a job."""
    monkeypatch.setattr(ray_tasks, "this_host", lambda: ME)
    monkeypatch.setattr(ray_tasks, "OPENED", {})
    monkeypatch.setattr(Source, "told", [])
    monkeypatch.chdir(folder)
    Path("v.avi").write_bytes(b"12345")
    return ray_stand_in(monkeypatch, "10.0.0.1", "10.0.0.2")
