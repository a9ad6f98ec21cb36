"""The peers of the benchmark, each with a stand-in for its library: what they are asked for, and with which numbers."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from snippets.data.flow.tvl1 import TVL1
from snippets.training.bench import peers
from snippets.training.bench.jobs import flow
from snippets.training.bench.peers import PEERS, Peer


@pytest.fixture
def cores(monkeypatch):
    """The number of threads of each pool that is made: as many as there are cores, three."""
    made, pool = [], peers.ThreadPoolExecutor
    monkeypatch.setattr(peers, "usable_cores", lambda: 3)
    monkeypatch.setattr(peers, "ThreadPoolExecutor", lambda workers: made.append(workers) or pool(workers))
    return made


def test_opencv_gets_whole_numbers_on_one_thread(cores, monkeypatch):
    threads, seen = [], []

    def calc(I0, I1, u):
        seen.append((I0.dtype, I1.dtype, u))
        return np.stack([I0, I1], axis=-1)

    cv2 = SimpleNamespace(setNumThreads=threads.append)
    cv2.optflow = SimpleNamespace(DualTVL1OpticalFlow_create=lambda: SimpleNamespace(calc=calc))
    monkeypatch.setitem(sys.modules, "cv2", cv2)
    (job,) = PEERS["opencv"].counterparts("cuda").values()
    I0, I1 = np.full((2, 3, 4), 1.6), np.full((2, 3, 4), 254.7)
    I1[1] = 7.2
    work = job(I0, I1)
    u = work.run()["u"]
    assert u.shape == (2, 3, 4, 2) and [u[0, 0, 0].tolist(), u[1, 2, 3].tolist()] == [[2, 255], [2, 7]]
    assert threads == [1] and cores == [3] and work.count == 2 and work.results()["u"].tolist() == u.tolist()
    assert set(seen) == {(np.dtype(np.uint8), np.dtype(np.uint8), None)}


def test_scikit_image_gets_intensities_up_to_one_and_our_parameters(cores, monkeypatch):
    told, s = [], TVL1()

    def found(I0, I1, **how):
        told.append(how)
        return I0, I1  # rows first

    registration = SimpleNamespace(optical_flow_tvl1=found)
    monkeypatch.setitem(sys.modules, "skimage", SimpleNamespace(registration=registration))
    monkeypatch.setitem(sys.modules, "skimage.registration", registration)
    (job,) = PEERS["scikit-image"].counterparts("cpu").values()
    u = job(np.full((1, 3, 4), 255.0), np.full((1, 3, 4), 51.0), "the truth").run()["u"]
    assert u.shape == (1, 3, 4, 2) and (u[..., 0] == 0.2).all() and (u[..., 1] == 1).all()
    assert told == [{"attachment": 255 * s.lam, "tightness": s.theta, "num_warp": s.warps}]


def test_torch_is_asked_for_a_place_and_engines_for_the_cpu(monkeypatch):
    torch = SimpleNamespace(Place=lambda **how: how, counterparts=lambda place: place)
    monkeypatch.setitem(sys.modules, "snippets.training.bench.torch_jobs", torch)
    graph = SimpleNamespace(counterparts=lambda engine: {"engine": engine})
    monkeypatch.setitem(sys.modules, "snippets.training.bench.graph_jobs", graph)
    places = {name: PEERS[name].counterparts("cuda:1") for name in PEERS if name.startswith("torch")}
    last, compiled = {"channels_last": True}, {"compiled": True}
    assert places == {
        "torch": {"device": "cuda:1"}, "torch-channels-last": {"device": "cuda:1", **last},
        "torch-compiled": {"device": "cuda:1", **compiled},
        "torch-compiled-channels-last": {"device": "cuda:1", **last, **compiled},
    }  # fmt: skip
    for engine in ("onnxruntime", "openvino"):
        assert PEERS[engine].counterparts("cpu") == {"engine": engine} and PEERS[engine].counterparts("cuda") == {}


def test_what_a_peer_needs(monkeypatch):
    needs = {name: (peer.packages, peer.compiler) for name, peer in PEERS.items()}
    graph = ("onnx", "torch")
    assert needs == {
        "torch": (("torch",), False), "torch-channels-last": (("torch",), False),
        "torch-compiled": (("torch",), True), "torch-compiled-channels-last": (("torch",), True),
        "onnxruntime": (("onnxruntime", *graph), False), "openvino": (("openvino", *graph), False),
        "opencv": (("cv2",), False), "scikit-image": (("skimage",), False),
    }  # fmt: skip
    here, asked = {"a"}, []
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: name in here or None)
    monkeypatch.setattr(peers.shutil, "which", lambda name: asked.append(name) or (name in here or None))
    compiled = Peer(("a",), lambda device: {flow: 1} if device == "cpu" else {}, True)
    assert Peer(("a", "b", "c"), None).missing("cpu") == "b and c not installed"
    for text in ("ccache c++", None):
        monkeypatch.delenv("CXX", raising=False)
        if text:
            monkeypatch.setenv("CXX", text)
        assert compiled.missing("cpu") == "no C++ compiler; install g++, or name another one in CXX"
    assert asked == ["c++", "g++"]
    here.add("g++")
    assert compiled.missing("cpu") == "" and compiled.missing("cuda") == "does not compute on CUDA"
    assert compiled._replace(compiler=False).missing("cpu") == "" and asked == ["c++", "g++", "g++", "g++"]
