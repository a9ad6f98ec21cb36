"""What a Ray task does on a GPU, in this process: its features are those of a CPU, its flow that of a GPU.

Flow stops by a threshold, so that rounding may end it an iteration sooner: test_cuda.py compares it with the CPU's.
"""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from contract import assert_close

from snippets.data.decoder import Decoder
from snippets.data.flow.images import FlowDecoder
from snippets.data.layouts.splits import Video
from snippets.data.loader import Preprocessing
from snippets.data.store.store import contents
from snippets.nets.frame_features import FeatureSettings, FrameFeatures
from snippets.nets.frames import OverFrames
from snippets.nets.zoo import NetConfig, build_tower
from snippets.training.distributed import ray_tasks
from snippets.training.distributed.hosts import installed

pytestmark = pytest.mark.cuda


def features():
    """Features of a small AlexNet, whose weights are the same at every call."""
    config = NetConfig(2, "alexnet", size=64, width=0.05)
    tower = OverFrames(build_tower(config, np.random.default_rng(0))[0])
    return FrameFeatures(Decoder(64), tower, {"tower": "alexnet"}, FeatureSettings(Preprocessing(64)))


@pytest.mark.parametrize("make", [features, lambda: FlowDecoder(32)], ids=["features", "flow"])
def test_a_task_computes_on_its_gpu(cp, make, clip, monkeypatch):
    video = Video(clip, 0, "clip.avi", "")
    ray = SimpleNamespace(get=lambda content: content, util=SimpleNamespace(get_node_ip_address=lambda: "here"))
    monkeypatch.setattr(ray_tasks, "import_ray", lambda: ray)
    content = pickle.dumps((installed(), "cuda", contents, make()))
    sent = [thing for piece in ray_tasks.pieces([content], video, ray_tasks.size_of(clip), 0) for thing in piece.things]
    source, (crc, *wanted) = ray_tasks.OPENED[content][1], contents(make(), video)
    assert sent[0] == crc and len(sent) == 1 + len(wanted) > 2
    if make is features:
        assert all(isinstance(w, cp.ndarray) for w in source.tower.params.values())
        assert_close(np.stack(sent[1:]), np.stack(wanted), "features", rtol=1e-5)
    else:
        assert source.xp is pickle.loads(pickle.dumps(source)).xp is cp
        here = make()
        here.xp = cp
        np.testing.assert_array_equal(np.stack(sent[1:]), np.stack(list(contents(here, video))[1:]))
