"""What the paper leaves open (docs/ambiguities.md), as claims: a network is better trained with options a than with b.

The options are those of `snippets train`, beside the lab's own (`scales.LAB`), which they replace. So A and B have the
same data, the same seed and the same number of steps.
"""

from dataclasses import replace

from snippets.training.experiments.claims.sentences import ALEX, EXTRA, Claim
from snippets.training.experiments.paper import NETS, Net

SINGLE, LATE = ("Single frame", "alexnet-single"), ("Late Pooling", "alexnet-late-120")
CONV, SHORT = ("Conv Pooling", "alexnet-conv-120"), ("Conv Pooling", "alexnet-conv-30")
FRESH = ("Conv Pooling from random weights", "alexnet-conv-120-fresh")
LSTM, RNN = ("LSTM", "alexnet-lstm-120"), ("Plain recurrent network", "alexnet-rnn-120")
BASES = NETS | EXTRA | {FRESH[1]: Net(ALEX, "conv", 120), RNN[1]: Net(ALEX, "rnn", 120)}
# fmt: off
CHOICES = (  # name, what is claimed, the network (title, name), options of A, options of B
    ("normalisation", "LRN is better than local contrast normalisation.", SINGLE, "", "--norm lcn"),
    ("mask", "Dropout with one mask per clip is better than with one per frame.", LATE, "", "--dropout-mask frame"),
    ("forget bias", "A forget gate whose bias begins at 1 is better than at 0.", LSTM, "", "--forget-bias 0"),
    ("H", "A plain recurrent network is better with the logistic function than with tanh.",
     RNN, "", "--activation tanh"),
    ("weighted, last", "A prediction weighted by g is better than that of the last frame.",
     LSTM, "", "--inference last"),
    ("weighted, max", "A prediction weighted by g is better than the maximum over frames.",
     LSTM, "", "--inference max"),
    ("weighted, sum", "A prediction weighted by g is better than the sum over frames.", LSTM, "", "--inference sum"),
    ("layers", "Five LSTM layers, as in the paper, are better than one.", LSTM, "--depth 5", ""),
    ("unit, LSTM", "An LSTM is better on features of mean square 1 than on raw ones.", LSTM, "", "--features raw"),
    ("unit, pooling", "Pooling is better on features of mean square 1 than on raw ones.", CONV, "--features unit", ""),
    ("differences", "Features and the size of their change are better than features alone.",
     FRESH, "--differences", ""),
    ("standardise", "A head is better on standardised inputs than on raw ones.", FRESH, "--standardise", ""),
    ("biases, LSTM", "Biases that do not decay are better than biases that do.", LSTM, "", "--decay-biases"),
    ("biases, pooling", "Biases that do not decay are better than biases that do.", CONV, "", "--decay-biases"),
    ("bound, LSTM", "A gradient of norm 5 at most is better than one of any norm.", LSTM, "", "--clip-norm inf"),
    ("bound, pooling", "A gradient of norm 5 at most is better than one of any norm.", CONV, "", "--clip-norm inf"),
    ("rate, LSTM", "A learning rate that decays is better than one that does not.", LSTM, "", "--decay 1"),
    ("rate, pooling", "A learning rate that decays is better than one that does not.", CONV, "", "--decay 1"),
    ("views, one", "The mean over four clips of a video is better than one clip.", SHORT, "", "--views 1"),
    ("views, all", "The mean over all clips of a video is better than that over four.", SHORT, "--views 17", ""),
)
# fmt: on


def trained(net, options):
    """The name of a network that is trained with other options."""
    return f"{net} {options}".strip().replace(" ", "-")


def shown(options):
    """Options in Markdown."""
    return f"`{options}`" if options else "the lab's options"


ABLATIONS = tuple(
    Claim(name, sentence, f"{title}: {shown(a)} against {shown(b)}", (trained(net, a),), (trained(net, b),))
    for name, sentence, (title, net), a, b in CHOICES
)
VARIED = BASES | {
    trained(net, options): replace(BASES[net], options=options)
    for *_, (_, net), a, b in CHOICES
    for options in (a, b)
    if options
}
