"""OpenCV's and scikit-image's TV-L1 flow for `snippets bench`: opencv-contrib-python-headless and scikit-image.

Both get the parameters of `data.flow.tvl1.TVL1` as far as they have them, and a pair for each core at a time, on one
thread each: the faster way for many pairs. OpenCV has all parameters; scikit-image halves the frames from scale to
scale down to 16 pixels, and stops a warp after 10 iterations.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from snippets.data.flow.tvl1 import TVL1
from snippets.layers.device.xp import usable_cores
from snippets.training.bench.jobs import Job


def opencv(settings):
    """A function of one pair of frames (H, W), 0 to 255."""
    import cv2

    cv2.setNumThreads(1)
    inner = 30  # iterations between its medians of 5x5 pixels

    def one(I0, I1):
        peer = cv2.optflow.DualTVL1OpticalFlow_create(
            settings.tau, settings.lam, settings.theta, settings.scales, settings.warps, settings.epsilon,
            innnerIterations=inner, outerIterations=settings.iterations // inner, scaleStep=settings.step,
        )  # fmt: skip
        return peer.calc(np.rint(I0).astype(np.uint8), np.rint(I1).astype(np.uint8), None)

    return one


def scikit_image(settings):
    """The same; it wants intensities from 0 to 1, hence 255 lambda, and gives rows before columns."""
    from skimage.registration import optical_flow_tvl1

    def one(I0, I1):
        v, u = optical_flow_tvl1(
            I0 / 255, I1 / 255, attachment=255 * settings.lam, tightness=settings.theta, num_warp=settings.warps
        )
        return np.stack([u, v], axis=-1)

    return one


def reaches(device):
    """Yes: it stays on the CPU."""
    return True


def side(name, arguments, peer, device="cpu"):
    """The `Job` of a peer for these arguments, on all cores whatever the device; None for all but flow."""
    if name != "flow":
        return None
    one = globals()[peer](TVL1())

    def run():
        with ThreadPoolExecutor(usable_cores()) as pool:
            return {"u": np.stack(list(pool.map(one, *arguments)))}

    return Job(run, run, count=len(arguments[0]))
