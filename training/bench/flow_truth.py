"""`snippets flow-error`: how far TV-L1 flow is from the truth, ours and that of peers.

On the painted pairs of `data.flow.known`, or on a pair of one's own with its true flow (`data.flow.truth`).
"""

import numpy as np

from snippets.data.flow.images import GREY
from snippets.data.flow.known import SCENES, KnownPair, known_pair
from snippets.data.flow.truth import end_point_error, read_flow
from snippets.data.flow.tvl1 import TVL1, tvl1
from snippets.data.markdown import markdown_table
from snippets.data.pictures import read_picture
from snippets.training.bench.jobs import flow
from snippets.training.bench.peers import PEERS

FAR = 1.0  # pixels, from which on a flow is called wrong
WITH_FLOW = ("opencv", "scikit-image")  # of PEERS


def methods(settings=None, against=()):
    """{name: function (I0, I1) -> flow, of frames (N, H, W)}, ours first. ValueError for a peer that is missing."""
    settings = settings or TVL1()
    found = {"ours": lambda I0, I1: tvl1(I0, I1, settings)}
    for name in against:
        if why := PEERS[name].missing("cpu"):
            raise ValueError(f"--against {name}: {why}")
        job = PEERS[name].counterparts("cpu")[flow]
        found[name] = lambda I0, I1, job=job: job(I0, I1).run()["u"]
    return found


def measured(pairs, by):
    """{method: (mean error where visible, share of these that are off by more than FAR, mean error elsewhere)}.

    pairs: KnownPairs of one size; by: what `methods` returns. Errors in pixels; NaN where there is no such pixel.
    """
    I0, I1, u, visible = (np.stack(part) for part in zip(*pairs, strict=True))
    found = {}
    for name, method in by.items():
        error = end_point_error(method(I0, I1), u)
        seen, hidden = error[visible], error[~visible & np.isfinite(error)]
        found[name] = tuple(float(a.mean()) if a.size else np.nan for a in (seen, seen > FAR, hidden))
    return found


def painted(by, seeds=3, size=(240, 320)):
    """{scene: what `measured` returns}, each of `seeds` textures and directions."""
    return {name: measured([known_pair(name, size, seed) for seed in range(seeds)], by) for name in SCENES}


def own_pair(first, second, truth):
    """The KnownPair of two pictures and a file of true flow; pixels without a true flow count as hidden, and as NaN."""
    frames = [read_picture(path).to_ndarray() @ GREY for path in (first, second)]
    u, known = read_flow(truth)
    for path, frame in zip((first, second), frames, strict=True):
        if frame.shape != known.shape:
            found, expected = (f"{W} x {H}" for H, W in (frame.shape, known.shape))
            raise ValueError(f"{path}: {found} pixels, expected {expected} as in {truth}")
    if not known.any():
        raise ValueError(f"{truth}: no pixel has a true flow")
    return KnownPair(*frames, np.where(known[..., None], u, np.nan), known)


def table(found):
    """A table in Markdown of {row: what `measured` returns}, one cell per method."""
    names = list(next(iter(found.values())))
    rows = [[row, *(cell(*by[name]) for name in names)] for row, by in found.items()]
    return markdown_table(["", *names], rows)


def cell(error, off, hidden):
    """One method's three numbers."""
    unseen = "" if np.isnan(hidden) else f"; hidden {hidden:.2f}"
    return f"{error:.3f} ({off:.1%}{unseen})"
