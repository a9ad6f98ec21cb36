r"""Late fusion: what networks say about the same videos, one on frames and one on optical flow, becomes one answer.

    mean    p = sum_s w_s p_s / sum_s w_s                             p_s (V, K): class probabilities of stream s
    SVM     f = [p_1 / |p_1|, p_2 / |p_2|, ...]  (V, S K)             |p| is the Euclidean norm of a video's row
            scores = f W + b                                          one-against-rest linear SVM

The mean is the paper's (section 3.4). The SVM on stacked, L2-normalised softmax scores is that of the two-stream
networks (Simonyan and Zisserman 2014), trained on the streams' scores of the training videos. It gives margins, which
rank classes but are no probabilities.
"""

from dataclasses import replace

import numpy as np

from snippets.training.evaluate import hit_at_k, result_of
from snippets.training.predictions import aligned, positions, save_predictions

SVM_C = 1.0  # cost of an error in the SVM


def fuse_mean(probabilities, weights=None):
    """Weighted mean of arrays (V, K), one per stream; weights: as many, not negative, by default equal."""
    weights = np.ones(len(probabilities)) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (len(probabilities),) or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise ValueError(
            f"weights are {weights.tolist()}, expected {len(probabilities)} numbers, one per stream, none negative and "
            "not all zero"
        )
    return sum(w * p for w, p in zip(weights, probabilities, strict=True)) / weights.sum()


def fuse_svm(train, labels, test, C=SVM_C):
    """Scores (V, K) of a linear SVM; train, test: lists of (V, K), one per stream; labels (V,) of the training videos.

    A class without training videos scores below all others. Needs scikit-learn.
    """
    try:
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise ValueError('fusion by SVM needs scikit-learn: pip install -e ".[svm]"') from error
    if labels.ndim != 1:
        raise ValueError("fusion by SVM needs one label per video, found several; take the weighted mean")
    svm = LinearSVC(C=C, max_iter=100_000, random_state=0).fit(stacked(train), labels)
    margins = svm.decision_function(stacked(test))  # (V, classes seen); of two classes (V,), the second's
    margins = np.stack([-margins, margins], axis=1) if margins.ndim == 1 else margins
    scores = np.full(test[0].shape, margins.min() - 1)
    scores[:, svm.classes_] = margins
    return scores


def stacked(probabilities):
    """Each stream's rows at length one, side by side: S arrays (V, K) -> (V, S K)."""
    return np.concatenate([p / np.linalg.norm(p, axis=1, keepdims=True) for p in probabilities], axis=1)


def fuse(files, weights=None, svm=None, C=SVM_C, save=None):
    """Join predictions on file, print the accuracy of each and of all together; returns the fused scores (V, K).

    svm: as many files, of training videos, to train the SVM on. save: file for the weighted mean.
    """
    if len(files) < 2:
        raise ValueError(f"{len(files)} file of predictions, expected two or more to fuse")
    first, probabilities = aligned(files)
    if svm is None:
        scores, how = fuse_mean(probabilities, weights), "fused, weighted mean"
    elif weights is not None or save is not None:
        raise ValueError("an SVM has no weights, and its scores are no probabilities: leave out --weights and --save")
    else:
        train, labels = training_scores(svm, first, len(files))
        scores, how = fuse_svm(train, labels, probabilities, C), f"fused, linear SVM, C = {C:g}"
    names = [*map(str, files), how]
    for name, p in zip(names, [*probabilities, scores], strict=True):
        hit1, hit5 = (100 * hit_at_k(p, first.result.labels, k).mean() for k in (1, first.result.top))
        more = f", Hit@{first.result.top} {hit5:5.1f} %" if first.result.top < len(first.result.classes) else ""
        print(f"{name:{max(map(len, names))}}  video Hit@1 {hit1:5.1f} %{more}")
    print(f"{len(scores)} videos, " + ("no folds" if first.fold is None else f"fold {first.fold}"))
    if save is not None:
        r = first.result
        fused = replace(result_of(r.classes, r.names, r.labels, scores), groups=r.groups)
        save_predictions(save, replace(first, result=fused, steps=0))
    return scores


def training_scores(files, test, count):
    """The streams' probabilities and the labels of the training videos that go with the predictions `test`."""
    if len(files) != count:
        raise ValueError(f"--svm has {len(files)} files, expected {count}: one of training videos for each stream")
    train, probabilities = aligned(files, "train")
    positions(test.result.classes, train.result.classes, "class", files[0], "the test predictions")
    if train.result.classes != test.result.classes or train.fold != test.fold:
        raise ValueError(
            f"{files[0]} is of fold {train.fold}, the test predictions of fold {test.fold}; expected one fold, and the "
            "same order of classes"
        )
    both = set(train.result.names) & set(test.result.names)
    if both:
        raise ValueError(f"{min(both)} is both in {files[0]} and among the test videos ({len(both)} such videos)")
    return probabilities, train.result.labels
