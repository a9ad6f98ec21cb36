"""Tables 1 to 7 of the paper: what each row runs, and the accuracies that the paper prints, in per cent.

NETS says how each network is made. `start` is the network whose parameters it starts from: pooling networks grow from
one frame to 30 to 120 (section 3.3). GoogLeNet's single frame has no fully connected layers (`--fc` makes them); the
paper adds two for pooling, so its Conv Pooling begins with a network of one frame that has them. Tables 1 to 5 are on
Sports-1M at one frame per second, 6 and 7 on UCF-101, mean of three folds; the same network serves both, for the data
set has its own frame rate. Table 7 does not give the frame rate of its fused networks: here it is the native one.

The paper contradicts itself twice: Tables 3 and 4 differ in the LSTM's Hit@5 (90.4 and 90.6), and the text names three
frame rates where Table 6 has two.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Net:
    """One network of the paper."""

    tower: str
    head: str
    frames: int  # T
    stream: str = "rgb"
    fps: float | None = None  # None: that of the data set, 1 for Sports-1M, every frame for UCF-101
    start: str | None = None  # the network that it starts from
    frozen: bool = False  # the paper's "(fc)": only what stands behind the tower is trained, without augmentation
    pixels: bool = False  # trained through its tower even where others read features of a tower that stays
    options: str = ""  # more options of `snippets train`

    @property
    def kind(self):
        """Which training it gets."""
        recurrent = self.head in ("lstm", "rnn")
        return self.head if self.head in ("single", "slowfusion") else "recurrent" if recurrent else "pooling"


ALEX, GOOG = "alexnet", "googlenet"
# fmt: off
NETS = {
    "alexnet-single":          Net(ALEX, "single", 1),
    "alexnet-slowfusion-15":   Net(ALEX, "slowfusion", 15),
    "alexnet-conv-30":         Net(ALEX, "conv", 30, start="alexnet-single"),
    "alexnet-lstm-30-fc":      Net(ALEX, "lstm", 30, start="alexnet-single", frozen=True),
    "alexnet-late-30":         Net(ALEX, "late", 30, start="alexnet-single"),
    "alexnet-slow-30":         Net(ALEX, "slow", 30, start="alexnet-single"),
    "alexnet-local-30":        Net(ALEX, "local", 30, start="alexnet-single"),
    "alexnet-timeconv-30":     Net(ALEX, "timeconv", 30, start="alexnet-single"),
    "alexnet-conv-120":        Net(ALEX, "conv", 120, start="alexnet-conv-30"),
    "alexnet-late-120":        Net(ALEX, "late", 120, start="alexnet-late-30"),
    "alexnet-slow-120":        Net(ALEX, "slow", 120, start="alexnet-slow-30"),
    "alexnet-local-120":       Net(ALEX, "local", 120, start="alexnet-local-30"),
    "alexnet-timeconv-120":    Net(ALEX, "timeconv", 120, start="alexnet-timeconv-30"),
    "googlenet-single":        Net(GOOG, "single", 1, options="--fc 0"),
    "googlenet-conv-1":        Net(GOOG, "conv", 1, start="googlenet-single"),
    "googlenet-conv-30":       Net(GOOG, "conv", 30, start="googlenet-conv-1"),
    "googlenet-conv-120":      Net(GOOG, "conv", 120, start="googlenet-conv-30"),
    "googlenet-lstm-30-fc":    Net(GOOG, "lstm", 30, start="googlenet-single", frozen=True),
    "googlenet-lstm-30":       Net(GOOG, "lstm", 30, start="googlenet-lstm-30-fc"),
    "googlenet-conv-30-6fps":  Net(GOOG, "conv", 30, fps=6.0, start="googlenet-conv-1"),
    "googlenet-conv-120-6fps": Net(GOOG, "conv", 120, fps=6.0, start="googlenet-conv-30-6fps"),
    "googlenet-single-flow":   Net(GOOG, "single", 1, "flow", start="googlenet-single", options="--fc 0"),
    "googlenet-conv-30-flow":  Net(GOOG, "conv", 30, "flow", start="googlenet-conv-30"),
    "googlenet-conv-120-flow": Net(GOOG, "conv", 120, "flow", start="googlenet-conv-120"),
    "googlenet-lstm-30-flow":  Net(GOOG, "lstm", 30, "flow", start="googlenet-lstm-30"),
}
# fmt: on


@dataclass(frozen=True)
class Row:
    """A row of a table: one network, or two whose predictions are fused; none where the paper cites another system."""

    table: int
    title: str
    nets: tuple
    clip: float | None  # clip Hit@1
    hit1: float  # video Hit@1, on UCF-101 the mean accuracy
    hit5: float | None = None
    note: str = ""
    svm: bool = False  # fused by linear SVM, not by the mean

    @property
    def paper(self):
        """{measure: per cent}, of those that the paper prints."""
        return {m: value for m in MEASURES if (value := getattr(self, m)) is not None}


MEASURES = {"clip": "clip Hit@1", "hit1": "Hit@1", "hit5": "Hit@5"}
OURS_14 = "in the paper a network of Karpathy et al.; here on the paper's own AlexNet"
TWO_STREAM = "in the paper Simonyan and Zisserman's network, ten stacked flow images; here GoogLeNet, one"
# fmt: off
ROWS = (
    Row(1, "Conv Pooling",             ("alexnet-conv-120",),     68.7, 71.1, 89.3),
    Row(1, "Late Pooling",             ("alexnet-late-120",),     65.1, 67.5, 87.2),
    Row(1, "Slow Pooling",             ("alexnet-slow-120",),     67.1, 69.7, 88.4),
    Row(1, "Local Pooling",            ("alexnet-local-120",),    68.1, 70.4, 88.9),
    Row(1, "Time-Domain Convolution",  ("alexnet-timeconv-120",), 64.2, 67.2, 87.2),
    Row(2, "AlexNet single frame",     ("alexnet-single",),       None, 63.6, 84.7),
    Row(2, "GoogLeNet single frame",   ("googlenet-single",),     None, 64.9, 86.6),
    Row(2, "LSTM + AlexNet (fc)",      ("alexnet-lstm-30-fc",),   None, 62.7, 83.6),
    Row(2, "LSTM + GoogLeNet (fc)",    ("googlenet-lstm-30-fc",), None, 67.5, 87.1),
    Row(2, "Conv Pooling + AlexNet",   ("alexnet-conv-30",),      None, 70.4, 89.0),
    Row(2, "Conv Pooling + GoogLeNet", ("googlenet-conv-30",),    None, 71.7, 90.4),
    Row(3, "LSTM, 30 frames",          ("googlenet-lstm-30",),    None, 72.1, 90.4),
    Row(3, "Conv Pooling, 30 frames",  ("googlenet-conv-30",),    66.0, 71.7, 90.4),
    Row(3, "Conv Pooling, 120 frames", ("googlenet-conv-120",),   70.8, 72.3, 90.8),
    Row(4, "LSTM on flow",             ("googlenet-lstm-30-flow",), None, 59.7, 81.4),
    Row(4, "LSTM on frames",           ("googlenet-lstm-30",),      None, 72.1, 90.6),
    Row(4, "LSTM on both",             ("googlenet-lstm-30", "googlenet-lstm-30-flow"), None, 73.1, 90.5),
    Row(4, "Conv Pooling on flow",     ("googlenet-conv-30-flow",), None, 44.5, 70.4),
    Row(4, "Conv Pooling on frames",   ("googlenet-conv-30",),      None, 71.7, 90.4),
    Row(4, "Conv Pooling on both",     ("googlenet-conv-30", "googlenet-conv-30-flow"), None, 71.8, 90.4),
    Row(5, "Single frame [14]",        ("alexnet-single",),         41.1, 59.3, 77.7, note=OURS_14),
    Row(5, "Slow Fusion [14], 15 frames", ("alexnet-slowfusion-15",), 41.9, 60.9, 80.2, note=OURS_14),
    Row(5, "Conv Pooling on both, 120 frames", ("googlenet-conv-120", "googlenet-conv-120-flow"), 70.8, 72.4, 90.8),
    Row(5, "LSTM on both, 30 frames",  ("googlenet-lstm-30", "googlenet-lstm-30-flow"), None, 73.1, 90.5),
    Row(6, "Single frame",             ("googlenet-single",),         None, 73.3),
    Row(6, "Conv Pooling, 30 frames at 30 fps",  ("googlenet-conv-30",),       None, 80.8),
    Row(6, "Conv Pooling, 30 frames at 6 fps",   ("googlenet-conv-30-6fps",),  None, 82.0),
    Row(6, "Conv Pooling, 120 frames at 30 fps", ("googlenet-conv-120",),      None, 82.6),
    Row(6, "Conv Pooling, 120 frames at 6 fps",  ("googlenet-conv-120-6fps",), None, 82.6),
    Row(7, "Improved Dense Trajectories (IDT)", (), None, 87.9, note="hand-made features, cited and not built here"),
    Row(7, "Slow Fusion [14]",         ("alexnet-slowfusion-15",),  None, 65.4, note=OURS_14),
    Row(7, "Single frame [19]",        ("googlenet-single",),       None, 73.0, note=TWO_STREAM),
    Row(7, "Single-frame flow [19]",   ("googlenet-single-flow",),  None, 73.9, note=TWO_STREAM),
    Row(7, "Two-stream, mean [19]",    ("googlenet-single", "googlenet-single-flow"), None, 86.9, None, TWO_STREAM),
    Row(7, "Two-stream, SVM [19]", ("googlenet-single", "googlenet-single-flow"), None, 88.0, None, TWO_STREAM, True),
    Row(7, "Single frame",             ("googlenet-single",),       None, 73.3),
    Row(7, "Conv Pooling on both, 30 frames",  ("googlenet-conv-30", "googlenet-conv-30-flow"),   None, 87.6),
    Row(7, "Conv Pooling on both, 120 frames", ("googlenet-conv-120", "googlenet-conv-120-flow"), None, 88.2),
    Row(7, "LSTM on both, 30 frames",  ("googlenet-lstm-30", "googlenet-lstm-30-flow"), None, 88.6),
)
# fmt: on
