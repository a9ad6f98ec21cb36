"""ONNX Runtime's and OpenVINO's side of `snippets bench`: inference of the graph that PyTorch's twin exports.

Needs torch, onnx and the engine; imported only when it is asked for. Both engines compute in float32 on as many threads
as we use; each may choose its own layout in memory.
"""

import io
import warnings

import numpy as np
import torch

from snippets.layers.device.xp import usable_cores
from snippets.training.bench import jobs
from snippets.training.bench.jobs import Workload
from snippets.training.bench.torch_jobs import Place, array


def onnx_graph(module, x):
    """The ONNX file, as bytes, of a module for inputs of x's shape."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that shapes become constants, and that there is a newer exporter
        torch.onnx.export(module, (x,), file, input_names=["x"], dynamo=False)
    return file.getvalue()


def onnxruntime_engine(graph):
    """The graph as a function of a NumPy array."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0]


def openvino_engine(graph):
    """The graph as a function of a NumPy array."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": usable_cores(), "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(openvino.Core().read_model(graph), "CPU", settings)
    return lambda x: model(x)[0]


ENGINES = {"onnxruntime": onnxruntime_engine, "openvino": openvino_engine}


def counterparts(name):
    """{our job: the engine's}: of `jobs.whole` the passes forward, and the tower of `jobs.video`."""
    engine, place = ENGINES[name], Place()

    def infer(module, x):
        """A function without arguments that runs the module on x, a tensor."""
        run, x = engine(onnx_graph(module, x)), x.numpy()
        return lambda: torch.from_numpy(run(x))

    def whole(layer, x, dy=None, rng=None):
        if dy is not None:
            return None
        run = infer(place.twin(layer), place.tensor(x))
        return Workload(run, lambda: {"y": array(run())})

    def video(net, x, times):
        tower, *head = place.twin(net)
        tower = infer(tower, place.tensor(x[None]))

        def run():
            with torch.inference_mode():
                y = torch.cat([tower() for _ in range(times)], dim=1)
                for module in head:
                    y = module(y)
                return y.softmax(dim=-1)[0]

        return Workload(run, lambda: {"p": np.asarray(run())})

    return {jobs.whole: whole, jobs.video: video}
