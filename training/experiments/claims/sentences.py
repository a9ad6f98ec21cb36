"""Sentences of the paper as claims, and the networks that their experiments train beside those of the tables.

A claim says that network A is right more often than network B on some test videos. Two parts of one sentence ("helps
here, hurts there") are two claims, with A and B the other way round in the second.
"""

from dataclasses import dataclass, replace

from snippets.data.mini.make import KIND_NAMES
from snippets.training.experiments.paper import Net


@dataclass(frozen=True)
class Claim:
    """A sentence and its experiment: networks (several: their predictions fused) A and B."""

    name: str
    sentence: str
    experiment: str
    a: tuple
    b: tuple
    kinds: tuple = KIND_NAMES  # of classes whose test videos count
    ground: str = "still"  # which rendered videos, see `lab.GROUNDS`
    seeds: int = 6
    clips: bool = False  # the share of clips that are right counts, and not of videos
    real: str | None = None  # how it is tried on real features, if it is; see `lab.Lab.real`


ALEX = "alexnet"
THROUGH = "--decay 0.85 --lr 0.02 --views 1"
LSTM = Net(ALEX, "lstm", 120)
EXTRA = {
    "alexnet-conv-120": Net(ALEX, "conv", 120, start="alexnet-single"),  # in one step, as its rivals
    "alexnet-late-120": Net(ALEX, "late", 120, start="alexnet-single"),
    "alexnet-average-120": Net(ALEX, "average", 120, start="alexnet-single"),
    "alexnet-lstm-120": LSTM,
    "alexnet-lstm-120-ones": replace(LSTM, options="--gain ones --inference sum"),
    "alexnet-lstm-120-last": replace(LSTM, options="--gain last --inference last"),
    "alexnet-conv-30-scratch": Net(ALEX, "conv", 30, pixels=True, options="--epochs 8 " + THROUGH),
    "alexnet-conv-30-expanded": Net(
        ALEX, "conv", 30, start="alexnet-single", pixels=True, options="--epochs 4 " + THROUGH
    ),
    "alexnet-conv-30-low": Net(ALEX, "conv", 30, fps=6.0, start="alexnet-single"),
    "alexnet-lstm-30": Net(ALEX, "lstm", 30),
    "alexnet-single-flow": Net(ALEX, "single", 1, "flow", start="alexnet-single"),
    "alexnet-conv-30-flow": Net(ALEX, "conv", 30, "flow", start="alexnet-conv-30"),
    "alexnet-lstm-30-flow": Net(ALEX, "lstm", 30, "flow", start="alexnet-lstm-30"),
}
CONV_BOTH, LSTM_BOTH = ("alexnet-conv-30", "alexnet-conv-30-flow"), ("alexnet-lstm-30", "alexnet-lstm-30-flow")
# fmt: off
CLAIMS = (
    Claim("expansion", "Expanding a single-frame network saves training time.",
          "Conv Pooling through the tower: expanded and four epochs more, against eight epochs from "
          "scratch, which see as many frames in all",
          ("alexnet-conv-30-expanded",), ("alexnet-conv-30-scratch",), seeds=3),
    Claim("max over average", "Max-pooling learns more than average pooling over frames.",
          "Conv Pooling against the same network with the mean",
          ("alexnet-conv-120",), ("alexnet-average-120",), real="classes"),
    Claim("more frames", "A clip of more frames is classified better.",
          "Conv Pooling, clip Hit@1: the longer clip against the shorter",
          ("alexnet-conv-120",), ("alexnet-conv-30",), clips=True),
    Claim("order needs recurrence", "A recurrent network sees what order alone shows, and max-pooling does not.",
          "LSTM against Conv Pooling on the classes of order",
          ("alexnet-lstm-120",), ("alexnet-conv-120",), ("order",), real="direction"),
    Claim("gain over equal weights", "A gain that rises over the clip is better than equal weights.",
          "LSTM, g = t/T and weighted prediction, against g = 1 and their sum",
          ("alexnet-lstm-120",), ("alexnet-lstm-120-ones",), seeds=24),
    Claim("gain over last frame", "A gain that rises over the clip is better than the last frame alone.",
          "LSTM, g = t/T and weighted prediction, against loss and prediction at the last frame",
          ("alexnet-lstm-120",), ("alexnet-lstm-120-last",), seeds=24),
    Claim("conv before late", "Pooling before the fully connected layers is better than behind them.",
          "Conv Pooling against Late Pooling",
          ("alexnet-conv-120",), ("alexnet-late-120",), real="classes"),
    Claim("low frame rate", "A lower frame rate, and so more of the video, is better for short clips.",
          "Conv Pooling: every third frame against every frame, averaged over four clips per video",
          ("alexnet-conv-30-low",), ("alexnet-conv-30",)),
    Claim("flow helps pooling", "Where motion is clean, fusing with flow helps Conv Pooling.",
          "Conv Pooling on frames and flow against frames",
          CONV_BOTH, CONV_BOTH[:1]),
    Claim("flow helps LSTM", "Where motion is clean, fusing with flow helps the LSTM.",
          "LSTM on frames and flow against frames",
          LSTM_BOTH, LSTM_BOTH[:1]),
    Claim("noisy flow hurts pooling", "Where motion is noisy, fusing with flow hurts Conv Pooling.",
          "The same on shaken video: Conv Pooling on frames against frames and flow",
          CONV_BOTH[:1], CONV_BOTH, ground="shaken", seeds=12),
    Claim("noisy flow helps LSTM", "Where motion is noisy, the LSTM can use flow all the same.",
          "The same on shaken video: LSTM on frames and flow against frames",
          LSTM_BOTH, LSTM_BOTH[:1], ground="shaken"),
)
# fmt: on
