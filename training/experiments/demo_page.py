"""The demo's page: what each network of the demo sees and cannot see, on the videos themselves."""

from collections import Counter

import numpy as np

from snippets.data.files import write
from snippets.data.mini.make import CLASSES, KIND_NAMES, KINDS
from snippets.layers.device.xp import to_numpy
from snippets.layers.loss import softmax
from snippets.training.experiments.report import CANNOT
from snippets.training.objective import on_device
from snippets.training.render.charts import curves, curves_in_words, frames_of, over_time
from snippets.training.render.page import bar_table, code, confusion, grid, page, picture, section, strip, table, text

ABOUT = {  # kind: in what its classes differ
    "appearance": "One frame is enough: the shape of the actor.",
    "motion": "Only the direction of motion: a rising ball played backwards sinks. One frame says nothing about it, "
    "and the set of frames is the same in both directions, so a network that ignores order cannot pass 50 %.",
    "order": "Only the order of well separated events: the same frames forwards and backwards, with a dark pause in "
    "between. A network that ignores order cannot pass 50 % by construction, however good its frames are.",
    "moment": "A mark that is on the card for two or three frames of 24; everything else is shared. A single frame "
    "rarely sees it; the maximum over frames always has it.",
}
SHOWN = 12  # frames of a clip


def class_order(classes):
    """Classes sorted by kind, then mirrored ones side by side: their indices."""
    known = list(CLASSES)
    return sorted(range(len(classes)), key=lambda k: (KIND_NAMES.index(KINDS[classes[k]]), known.index(classes[k])))


def mirror(name):
    """The class whose clips are those of this one played backwards, None if there is none."""
    *same, backwards = CLASSES[name]
    return next((other for other, (*those, b) in CLASSES.items() if those == same and b != backwards), None)


def findings(accuracies):
    """What the heads of this run say about each kind: {kind: text}. No more than that all of one kind are better."""
    single, conv, lstm = accuracies

    def words(title, kind):
        low, median, high = (100 * f(accuracies[title][kind]) for f in (min, np.median, max))
        return f"{title} {median:.0f} % ({low:.0f} to {high:.0f})"

    def beside(better, other, kind):
        a, b = accuracies[better][kind], accuracies[other][kind]
        verdict = "the ranges overlap, so this run does not tell them apart."
        if min(a) > max(b) or max(a) < min(b):
            verdict = f"every head of {better} is {'above' if min(a) > max(b) else 'below'} every head of {other}."
        return f"{words(better, kind)}, {words(other, kind)}: {verdict}"

    return {
        "appearance": ", ".join(words(title, "appearance") for title in accuracies) + ".",
        "motion": beside(lstm, conv, "motion"),
        "order": beside(lstm, conv, "order"),
        "moment": beside(conv, single, "moment"),
    }


def result_table(accuracies, test_set):
    """{title: {kind: shares of its heads}} as a table: median, and from the lowest to the highest."""
    counts = Counter(KINDS[test_set.classes[k]] for k in test_set.labels)
    videos = ", ".join(f"{counts[kind]} videos of {kind}" for kind in KIND_NAMES)
    kinds = [*KIND_NAMES, "overall"]
    rows = []
    for title, row in accuracies.items():
        shares = [[float(f(row[kind])) for f in (np.median, min, max)] for kind in kinds]
        rows.append(
            [title, *((m, f"{100 * m:.0f} % ({100 * low:.0f} to {100 * high:.0f})") for m, low, high in shares)]
        )
    heads = len(row["overall"])
    return bar_table(
        ["", *kinds], rows, f"Test videos classified correctly: median of {heads} heads (lowest to highest), {videos}."
    )


def samples(test_set, kind):
    """A test clip of each class of a kind; of mirrored classes the same clip, forwards and backwards."""
    parts, first = [], {}  # first: the group and number of a class's clip
    for k in (k for k in class_order(test_set.classes) if KINDS[test_set.classes[k]] == kind):
        name, twin = test_set.classes[k], mirror(test_set.classes[k])
        videos = [v for v in test_set.videos if v.label == k]
        end = first.get(twin, videos[0].name[-11:])  # g01_c01.avi
        video = next(v for v in videos if v.name.endswith(end))
        first[name] = end
        times, frames = frames_of(video.path, SHOWN)
        also = f": the clip of {twin} above, played backwards" if twin in first else ""
        parts.append(text(f"{name}{also}", kind="note"))
        parts.append(strip(frames, [f"{name}, {t:.2f} s" for t in times], least=56))
    return "".join(parts)


def predicted(net, test_set, i):
    """A test clip (T, H, W, 3) and the network's class probabilities at every frame of it (T, K)."""
    clip = next(test_set.test_clips(i))
    return clip, to_numpy(softmax(net.predict(on_device(net, clip[None]))))[0]


def order_pair(net, test_set, result):
    """Two test clips, one the other backwards, as numbers in the test set, and the truth of each.

    Of those of the kind "order" of which it gets both right, if there are any: the pair of highest probability.
    """
    found, places = [], {name: i for i, name in enumerate(test_set.names)}
    for i, k in enumerate(test_set.labels):
        name = test_set.classes[k]
        if KINDS[name] == "order" and not CLASSES[name][-1]:
            other = places[test_set.names[i].replace(name, mirror(name))]
            both = [i, other]
            p = [result.probabilities[n, test_set.labels[n]] for n in both]
            right = all(result.probabilities[n].argmax() == test_set.labels[n] for n in both)
            found.append((right, min(p), both))
    return max(found)[2]


def watching(net, test_set, result):
    """Film strips and curves of the network's predictions for a mirrored pair of clips."""
    parts, pair = [], order_pair(net, test_set, result)
    truths, found = [int(test_set.labels[i]) for i in pair], [predicted(net, test_set, i) for i in pair]
    most = np.max([p.max(axis=0) for _, p in found], axis=0)  # (K,)
    shown = [*truths, *[int(k) for k in np.argsort(-most, kind="stable") if k not in truths][:2]]
    for n, (truth, (clip, p)) in enumerate(zip(truths, found, strict=True)):
        name = test_set.classes[truth]
        frames = np.clip(127.5 * clip + 127.5, 0, 255).astype(np.uint8)
        percent = [f"{100 * x:.0f} %" for x in p[:, truth]]
        alts = [f"frame {t + 1}, {name} {x}" for t, x in enumerate(percent)]
        names = [test_set.classes[k] for k in shown]
        curve = over_time(np.arange(1, len(p) + 1), p[:, shown], names, "frame", bold=n)
        says = test_set.classes[int(p[-1].argmax())]
        alt = f"Curves: at the last frame the LSTM gives {name}, the true class, {percent[-1]}."
        caption = f"Thick: the true class. At the last frame the most probable class is {says}."
        below = text(f"{name}: the number under a frame is the probability of this class after it.", kind="note")
        film = strip(frames, alts, percent, 48)
        parts.append(section(name, below, film, picture(curve, alt, caption), level=3))
    return "".join(parts)


def settings_table(stages):
    """How each network of {title: `demo.Stage`} was trained."""

    def words(s):
        return f"{s.epochs} epochs, batches of {s.batch}, rate {s.lr:g}, times {s.decay:g} per epoch" if s else ""

    towers = {"conv": "Conv Pooling", "single": "Single frame"}
    rows = [
        [title, s.frames, words(s.tower) or f"that of {towers[s.start]}, as it is", words(s.heads), s.views]
        for title, s in stages.items()
    ]
    return table(["network", "frames", "tower", "heads on its features", "clips per test video"], rows)


def write_page(path, trained, accuracies, stages, command):
    """Write the page, one file; returns its path.

    trained: {title: `demo.Trained`}, the LSTM last; accuracies: {title: {kind: shares}}; stages: {title: `demo.Stage`};
    command: what was typed.
    """
    *_, lstm = trained.values()
    test_set, meaning, order = lstm.test_set, findings(accuracies), class_order(lstm.test_set.classes)
    names = [test_set.classes[k] for k in order]
    kinds = [KINDS[name] for name in names]
    edges = {n for n in range(1, len(names)) if kinds[n] != kinds[n - 1]}
    counts = np.bincount(test_set.labels, minlength=len(names))
    shares = {title: np.mean([r.per_class for r in one.results], axis=0) for title, one in trained.items()}
    heads = len(lstm.results)
    body = [
        result_table(accuracies, test_set),
        text(
            f"A network is right by chance on {100 / len(names):.0f} %. Each tower was trained once; on its features "
            "heads were trained from several seeds, for one training says little about a network.", kind="note",
        ),
        section("What each network cannot see, and why",
                *(section(title, text(CANNOT[stages[title].head]), level=3) for title in trained)),
        section("Four kinds of classes"),
        *(section(kind, text(ABOUT[kind], meaning[kind]), samples(test_set, kind), level=3) for kind in ABOUT),
        section("The LSTM watches the same frames in both directions",
                text("Two test clips with the same frames in opposite order. To a network that ignores order they are "
                     "one and the same. Of the pairs that the LSTM gets right, this is the one of which it is surest "
                     "(if it gets none right, of all)."),
                watching(lstm.net, test_set, lstm.result)),
        section("Class by class",
                bar_table(["class", "kind", "videos", *trained],
                          [[name, KINDS[name], counts[k], *(s[k] for s in shares.values())]
                           for name, k in zip(names, order, strict=True)],
                          f"Test videos of each class classified correctly, mean of {heads} heads.")),
        section("Which class is taken for which",
                text(f"Videos of all {heads} heads together. Where a network confuses two classes that differ only in "
                     "order or direction, it shows as a block of two by two."),
                *(confusion(sum(r.confusion for r in one.results)[order][:, order], names, title, edges)
                  for title, one in trained.items())),
        section("While they learned",
                grid(*(picture(curves(one.history, title), curves_in_words(one.history, title))
                       for title, one in trained.items())),
                text("The curves of the single frame and of Conv Pooling are those of the whole networks, those of the "
                     "LSTM of its head. Training clips are random, cropped and flipped, with dropout; test videos are "
                     "seen once, their middle under the centre crop.", kind="note")),
        section("How this was made", code(command), settings_table(stages)),
    ]  # fmt: skip
    lead = (
        f"Three networks with the same frame tower (AlexNet at a quarter of its width, {test_set.preprocessing.size} "
        f"pixels a side), trained on rendered videos and tested on {len(test_set)} others, of groups that training "
        "never saw. The classes are made so that each network shows what it can see and what it cannot."
    )
    write(path, page("Beyond short snippets, in miniature", lead, body))
    return path
