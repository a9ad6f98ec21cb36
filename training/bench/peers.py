"""The peers of `snippets bench`: libraries that do what we do. Each is imported when it is first asked for.

A peer's counterpart of a job (`training.bench.jobs`) is a function of the same arguments; its `Workload` has the same
results under the same names, so that a test can hold both sides to each other. PyTorch's are in
`training.bench.torch_jobs`, those of ONNX Runtime and OpenVINO, which only infer, in `training.bench.graph_jobs`.
OpenCV (opencv-contrib-python-headless) and scikit-image have TV-L1 flow, here.

Both get one pair per core at a time, on one thread each: the faster way for many pairs. OpenCV has its own defaults,
those of `data.flow.tvl1.TVL1` but for 5 scales; scikit-image gets our lambda, theta and number of warps, halves the
frames from scale to scale down to 16 pixels, and stops a warp after 10 iterations.
"""

import functools
import importlib.util
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from snippets.data.flow.tvl1 import TVL1
from snippets.layers.device.xp import usable_cores
from snippets.training.bench.jobs import Workload, flow


class Peer(NamedTuple):
    """A library to measure against, on a device as `training.parameters.use_device` takes it."""

    packages: tuple[str, ...]  # that have to be installed
    counterparts: Callable  # (device) -> {our job: the peer's}; empty if the peer cannot compute there
    compiler: bool = False  # whether it needs a C++ compiler

    def missing(self, device):
        """Why it cannot be measured on the device; "" if it can."""
        absent = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if absent:
            return f"{' and '.join(absent)} not installed"
        if self.compiler and not shutil.which(os.environ.get("CXX", "g++").split()[-1]):
            return "no C++ compiler; install g++, or name another one in CXX"
        return "" if self.counterparts(device) else "does not compute on CUDA"


def torch(device, **place):
    """PyTorch's counterparts; `place`: channels_last, compiled."""
    from snippets.training.bench.torch_jobs import Place, counterparts

    return counterparts(Place(device=device, **place))


def graphs(device, engine):
    """The counterparts of an engine that runs ONNX graphs, on the CPU alone: "onnxruntime" or "openvino"."""
    from snippets.training.bench.graph_jobs import counterparts

    return counterparts(engine) if device == "cpu" else {}


def in_threads(flow_of_pair):
    """The counterpart of `flow` on a CPU: flow_of_pair(I0, I1) -> (H, W, 2), of frames (H, W), 0 to 255."""

    def job(I0, I1, truth=None):
        def run():
            with ThreadPoolExecutor(usable_cores()) as pool:
                return {"u": np.stack(list(pool.map(flow_of_pair, I0, I1)))}

        return Workload(run, run, count=len(I0))

    return job


def opencv(device):
    """It stays on the CPU, whatever the device."""
    import cv2

    cv2.setNumThreads(1)

    def flow_of_pair(I0, I1):
        peer = cv2.optflow.DualTVL1OpticalFlow_create()
        return peer.calc(np.rint(I0).astype(np.uint8), np.rint(I1).astype(np.uint8), None)

    return {flow: in_threads(flow_of_pair)}


def scikit_image(device):
    """It wants intensities from 0 to 1, hence 255 lambda, and gives rows before columns; it stays on the CPU."""
    from skimage.registration import optical_flow_tvl1

    settings = TVL1()

    def flow_of_pair(I0, I1):
        v, u = optical_flow_tvl1(
            I0 / 255, I1 / 255, attachment=255 * settings.lam, tightness=settings.theta, num_warp=settings.warps
        )
        return np.stack([u, v], axis=-1)

    return {flow: in_threads(flow_of_pair)}


PEERS = {
    "torch": Peer(("torch",), torch),
    "torch-channels-last": Peer(("torch",), functools.partial(torch, channels_last=True)),
    "torch-compiled": Peer(("torch",), functools.partial(torch, compiled=True), compiler=True),
    "torch-compiled-channels-last": Peer(
        ("torch",), functools.partial(torch, channels_last=True, compiled=True), compiler=True
    ),
    "onnxruntime": Peer(("onnxruntime", "onnx", "torch"), functools.partial(graphs, engine="onnxruntime")),
    "openvino": Peer(("openvino", "onnx", "torch"), functools.partial(graphs, engine="openvino")),
    "opencv": Peer(("cv2",), opencv),
    "scikit-image": Peer(("skimage",), scikit_image),
}
