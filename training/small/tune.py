"""Learning rate, weight decay and length of a training, chosen on held-out groups of the training videos.

The rule, one for all data sets; the test videos have no part in it:

    1. The training videos are dealt into FOLDS parts, every group (film) in one of them (`data.layouts.splits`). A
       class with one group alone is in none of them: its videos always train.
    2. For a learning rate and each part, a network learns from the other parts for `epochs` epochs. After each epoch,
       its loss on the part says how it does on films that it has not seen. Rates are tried in their order, until one
       does worse than the best so far.
    3. At the learning rate that came to the lowest mean loss, the same with the other weight decays.
    4. Taken are the rate, decay and number of epochs at which the mean loss of the held-out videos was lowest.

With these the network is trained again, on all training videos. The loss and not the accuracy decides, for of fifty
videos an accuracy is a coarse number.
"""

import math
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from snippets.data.options import Options, option
from snippets.training.checkpoint import load
from snippets.training.loop import train
from snippets.training.small.folds import held_out

FOLDS = 3


@dataclass(frozen=True)
class Candidates(Options):
    """Of which values the best is taken; none: nothing is chosen."""

    tune_lr: float | tuple = option(
        (), "choose the learning rate among these, and the number of epochs up to --epochs, on held-out groups of the "
        "training videos", nargs="+", above=0, most=1e30,
    )  # fmt: skip
    tune_weight_decay: float | tuple = option((), "and then the weight decay among these", nargs="+", least=0, most=1e3)

    def __bool__(self):
        return bool(self.tune_lr or self.tune_weight_decay)


def tuned(settings, candidates, make, dataset):
    """The `Settings` with the learning rate, weight decay and epochs that the rule chooses; and these in words.

    make(dataset) -> a new network for these training videos. ValueError where no class has groups enough to hold some
    of them out; FloatingPointError if every candidate diverges.
    """
    parts, found = held_out(dataset, FOLDS), {}
    count = sum(len(held) for _, held in parts)
    first, *others = candidates.tune_weight_decay or [settings.weight_decay]

    def try_out(lr, decay):
        """Whether these do better than all others so far."""
        s = replace(settings, lr=lr, weight_decay=decay)
        with suppress(FloatingPointError):  # one that diverges is none to be taken
            found[lr, decay] = sum(losses(s, make, learn, held) for learn, held in parts) / count
        return bool(found) and best()[0] == (lr, decay)

    def best():
        if not found:
            raise FloatingPointError("training diverges with every learning rate of --tune-lr: add smaller ones")
        return min(found.items(), key=lambda item: item[1].min())

    for lr in candidates.tune_lr or [settings.lr]:
        if not try_out(lr, first):
            break
    (lr, _), _ = best()
    for decay in others:
        try_out(lr, decay)
    (lr, decay), curve = best()
    epochs, guess = int(curve.argmin()) + 1, math.log(len(dataset.classes))
    about = (
        f"lr {lr:g}, weight decay {decay:g}, {epochs} epochs: loss {curve.min():.3f} on held-out groups of the "
        f"{len(dataset)} training videos, a guess has {guess:.3f}"
        + ("; nothing was learned that helps with other groups: more videos are needed" if curve.min() >= guess else "")
    )
    return replace(settings, lr=lr, weight_decay=decay, epochs=epochs), about


def tuned_once(settings, candidates, folder, make, dataset):
    """`tuned`, printed, where there are candidates; for a run that goes on in its folder, what was chosen before."""
    if not candidates:
        return settings
    if folder and (folder / "checkpoint.npz").exists():
        own = load(folder / "checkpoint.npz").settings
        return replace(settings, **{name: own[name] for name in ("lr", "weight_decay", "epochs")})
    settings, about = tuned(settings, candidates, make, dataset)
    print(f"chosen: {about}")
    return settings


def losses(settings, make, learn, held):
    """Summed loss of the held-out videos after each epoch: (epochs,)."""
    history = train(make(learn), learn, settings, test=held, progress=False)
    return len(held) * np.array([record["test"]["loss"] for record in history])
