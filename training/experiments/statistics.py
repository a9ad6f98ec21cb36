r"""How sure a measured accuracy is: its standard deviation over seeds, and intervals for the number of test videos.

    std          standard deviation over seeds, with one seed less in the denominator; NaN for one seed
    Wilson       of n videos with a share p right, at z = 1.96:
                 (p + z^2/2n +- z sqrt(p (1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    bootstrap    for the difference of two networks on the same videos: draw as many groups of videos and as many
                 seeds as there are, with replacement, many times; from the 2.5th to the 97.5th percentile
    Student      of n differences, each from an experiment of its own (other videos, other networks), with mean m and
                 standard deviation s: m +- t s / sqrt(n), t the 97.5th percentile of Student's distribution with
                 n - 1 degrees of freedom

Wilson's interval takes videos to be independent. Videos of one group (one actor, one place) are not, and so the
bootstrap draws whole groups. Student's needs no groups: whatever two networks of one experiment share is in their
difference, once.

SciPy has neither of the first two as needed here: `binomtest(...).proportion_ci` wants a whole number of right videos,
which a mean over seeds is not, and `bootstrap` draws along one axis, not seeds and groups together.
"""

from importlib import import_module

import numpy as np

from snippets.training.evaluate import hit_at_k
from snippets.training.fusion import fuse_mean
from snippets.training.predictions import aligned


def hits(files_by_seed):
    """Which videos are right, 1.0 or 0.0 (seeds, V), and a `Result` that names them.

    files_by_seed: of each seed the files of predictions, several if networks are fused by their mean.
    """
    found = []
    for files in files_by_seed:
        first, p = aligned(files)
        found.append(hit_at_k(fuse_mean(p), first.result.labels, 1).astype(float))
    return np.stack(found), first.result


def percent(hits):
    """Accuracies (seeds,) in per cent, to two digits, of hits (seeds, V)."""
    return (100 * hits.mean(axis=1)).round(2).tolist()


def mean_and_std(values):
    """(mean, standard deviation) of one number per seed."""
    values = np.asarray(values, float)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def mean_text(values):
    """ "mean ± standard deviation" of one number per seed; of one seed the number alone."""
    mean, std = mean_and_std(values)
    return f"{mean:.1f}" + (f" ± {std:.1f}" if len(values) > 1 else "")


def wilson(p, n, z=1.96):
    """95 % interval of a share p of n independent videos: (low, high)."""
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return float((middle - half) / (1 + z**2 / n)), float((middle + half) / (1 + z**2 / n))


def bootstrap(difference, groups, draws=4000, seed=0):
    """(mean, low, high) of differences (seeds, V) between two networks, each seed's pair on the same videos.

    groups (V,): videos of equal value are drawn together.
    """
    rng = np.random.default_rng(seed)
    _, group = np.unique(groups, return_inverse=True)
    counts = np.bincount(group)
    sums = np.stack([np.bincount(group, row) for row in difference])  # (seeds, groups)
    S, G = sums.shape
    means = []
    for _ in range(draws):
        s, g = rng.integers(0, S, S), rng.integers(0, G, G)
        means.append(sums[s][:, g].sum() / (S * counts[g].sum()))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(np.mean(difference)), float(low), float(high)


def student(differences):
    """(mean, low, high) of one difference per experiment; of one alone the interval is NaN."""
    n, (mean, std) = len(differences), mean_and_std(differences)
    t = float(import_module("scipy.special").stdtrit(n - 1, 0.975)) if n > 1 else float("nan")
    return mean, mean - t * std / np.sqrt(n), mean + t * std / np.sqrt(n)


def difference_text(difference):
    """ "mean [low, high]" of what `bootstrap` returns."""
    mean, low, high = difference
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
