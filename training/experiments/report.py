"""The demo's report: one HTML page with its pictures beside it."""

import html

import numpy as np

from snippets.data.files import write, write_figure
from snippets.data.mini.make import KINDS
from snippets.layers.device.xp import to_numpy
from snippets.layers.loss import softmax
from snippets.nets.inspect.figure import new_figure
from snippets.training.objective import on_device

ABOUT = {  # kind: in what its classes differ
    "appearance": "One frame is enough: the shape of the actor.",
    "motion": "Only the direction of motion: a rising ball played backwards sinks. One frame says nothing about it, "
    "and the set of frames is the same in both directions, so a network that ignores order cannot pass 50 %.",
    "order": "Only the order of well separated events: the same frames forwards and backwards, with a dark pause in "
    "between. A network that ignores order cannot pass 50 % by construction, however good its frames are.",
    "moment": "A mark that is on the card for two or three frames of 24; everything else is shared. A single frame "
    "rarely sees it; the maximum over frames always has it.",
}


def class_order(classes):
    """Classes sorted by kind, then by name: their indices."""
    kinds = list(ABOUT)
    return sorted(range(len(classes)), key=lambda k: (kinds.index(KINDS[classes[k]]), classes[k]))


def thumbnails(clip):
    """Network input (T, H, W, 3) in [-1, 1] as an image strip (H, T W, 3) in [0, 1]."""
    return np.concatenate(list(np.clip(0.5 * clip + 0.5, 0, 1)), axis=1)


def sample_frames(test_set):
    """One test clip of each class, twelve frames of it."""
    order = class_order(test_set.classes)
    figure = new_figure(9, 0.62 * len(order))
    axes = figure.subplots(len(order), 2, gridspec_kw={"width_ratios": [1.1, 6], "wspace": 0.02, "hspace": 0.08})
    for (label, strip), k in zip(axes, order, strict=True):
        clip = test_set.whole_video(int(np.flatnonzero(test_set.labels == k)[0]))
        strip.imshow(thumbnails(clip[:: max(1, len(clip) // 12)][:12]))
        name = test_set.classes[k]
        label.text(1, 0.5, f"{name}\n{KINDS[name]}", ha="right", va="center", fontsize=8)
        label.axis("off")
        strip.axis("off")
    return figure


def learning_curves(histories):
    """Training loss and accuracy over the epochs, of {title: history}."""
    figure = new_figure(9, 3.2)
    loss, accuracy = figure.subplots(1, 2)
    for title, history in histories.items():
        epochs = [record["epoch"] for record in history]
        loss.plot(epochs, [record["loss"] for record in history], label=title)
        accuracy.plot(epochs, [100 * record["accuracy"] for record in history], label=title)
    loss.set(xlabel="epoch", ylabel="training loss (nats)", ylim=(0, None))
    accuracy.set(xlabel="epoch", ylabel="training clips right (%)", ylim=(0, 100))
    loss.legend(frameon=False)
    return figure


def confusion_matrices(results):
    """Which class is taken for which, one panel per network, of {title: Result}."""
    figure = new_figure(4.2 * len(results), 4.6)
    for axis, (title, result) in zip(figure.subplots(1, len(results), sharey=True), results.items(), strict=True):
        order = class_order(result.classes)
        rows = result.confusion[order][:, order]
        axis.imshow(rows / rows.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
        names = [result.classes[k] for k in order]
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axis.set_yticks(range(len(names)), names, fontsize=7)
        axis.set(title=title, xlabel="predicted")
        for edge in np.flatnonzero(np.diff([list(ABOUT).index(KINDS[n]) for n in names])) + 0.5:
            axis.axhline(edge, color="grey", lw=0.5)
            axis.axvline(edge, color="grey", lw=0.5)
    figure.axes[0].set_ylabel("true class")
    return figure


def frame_predictions(net, test_set, result):
    """The LSTM's class probabilities at every frame of an order clip: of those it gets right, that of highest p."""
    order_kind = [i for i, k in enumerate(test_set.labels) if KINDS[test_set.classes[k]] == "order"]
    right = [i for i in order_kind if result.probabilities[i].argmax() == test_set.labels[i]]
    found = []
    for i in right or order_kind:
        clip, truth = next(test_set.test_clips(i)), int(test_set.labels[i])  # (T, H, W, 3)
        p = to_numpy(softmax(net.predict(on_device(net, clip[None]))))[0]  # (T, K)
        found.append((p[-1, truth], i, clip, truth, p))
    _, _, clip, truth, p = max(found, key=lambda one: one[:2])
    shown = [truth, *[k for k in np.argsort(-p.max(axis=0)) if k != truth][:3]]
    figure = new_figure(9, 3.6)
    strip, curves = figure.subplots(2, 1, gridspec_kw={"height_ratios": [1, 4], "hspace": 0.05})
    side = clip.shape[1]
    strip.imshow(thumbnails(clip), aspect="auto")
    strip.axis("off")
    for k in shown:
        label = test_set.classes[k] + (" (true class)" if k == truth else "")
        curves.plot(np.arange(1, len(p) + 1) - 0.5, p[:, k], marker="o", ms=3, lw=2.5 if k == truth else 1, label=label)
    curves.set(xlim=(0, len(p)), ylim=(0, 1.02), xlabel=f"frame ({side} x {side} pixels)", ylabel="probability")
    curves.set_xticks(np.arange(0, len(p), 5) + 0.5, np.arange(1, len(p) + 1, 5))
    curves.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def findings(accuracies):
    """What the medians of this run say about each kind: {kind: text}."""
    medians = {
        title: {kind: float(np.median(found)) for kind, found in row.items()} for title, row in accuracies.items()
    }
    single, conv, lstm = medians.values()
    blind = max(single["order"], conv["order"])
    solved = "distinguishes them" if lstm["order"] > blind + 0.2 else "hardly distinguishes them"
    lead = conv["moment"] - single["moment"]
    ordered = "helps" if lstm["motion"] > conv["motion"] + 0.05 else "did not help in this run"
    return {
        "appearance": ", ".join(f"{title} {row['appearance']:.0%}" for title, row in medians.items()) + ".",
        "motion": f"Conv Pooling {conv['motion']:.0%}, LSTM {lstm['motion']:.0%}: reading frames in order {ordered}.",
        "order": f"The LSTM {solved} ({lstm['order']:.0%}); the better order-blind network has {blind:.0%}.",
        "moment": f"The maximum over frames {'finds' if lead > 0.2 else 'hardly finds'} the mark: "
        f"Conv Pooling {conv['moment']:.0%}, single frame {single['moment']:.0%}.",
    }


def write_report(out, trained, accuracies, table):
    """Write report.html and its pictures into the folder `out`; returns the page's path.

    trained: {title: `demo.Trained`}, the LSTM last; accuracies: {title: {kind: shares}}; table: the same as text.
    """
    *_, lstm = trained.values()
    test_set = lstm.test_set
    pictures = {  # file: figure, caption
        "frames.png": (sample_frames(test_set), "Twelve frames of a test clip of each class."),
        "curves.png": (
            learning_curves({title: one.history for title, one in trained.items()}),
            "Learning curves. The LSTM learns on stored features, so that its epochs take little time.",
        ),
        "confusion.png": (
            confusion_matrices({title: one.result for title, one in trained.items()}),
            "Confusion matrices of the middle heads. Classes are grouped by kind; where a network confuses two classes "
            "that differ only in order or direction, it shows as a 2 x 2 block.",
        ),
        "lstm.png": (
            frame_predictions(lstm.net, test_set, lstm.result),
            "The LSTM's prediction at every frame of a test clip whose class depends on order alone. Of the clips that "
            "it classifies correctly, this is the one with the highest probability at the end.",
        ),
    }
    for name, (figure, _) in pictures.items():
        write_figure(out / name, figure, dpi=110, bbox_inches="tight")
    meaning = findings(accuracies)
    kinds = "".join(
        f"<h3>{kind}</h3><p>{html.escape(ABOUT[kind])} <b>{html.escape(meaning[kind])}</b></p>" for kind in ABOUT
    )
    figures = "".join(
        f'<figure><img src="{name}" alt=""><figcaption>{html.escape(caption)}</figcaption></figure>'
        for name, (_, caption) in pictures.items()
    )
    page = out / "report.html"
    size = test_set.preprocessing.size
    write(
        page,
        f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>snippets demo</title>
<style>body{{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}img{{max-width:100%}}
figure{{margin:2rem 0}}figcaption{{color:#555}}pre{{background:#f4f4f4;padding:1rem;overflow-x:auto}}</style>
<h1>Beyond short snippets, in miniature</h1>
<p>Three networks with the same frame tower (AlexNet at a quarter of its width, {size} x {size}
pixels), trained on rendered videos; {len(test_set)} test videos, of groups that training never saw. On the features
of each tower, heads were trained from several seeds: their median, and in brackets the lowest and the highest.</p>
<pre>{html.escape(table)}</pre><h2>What the results mean</h2>{kinds}<h2>Pictures</h2>{figures}</html>
""",
    )
    return page
