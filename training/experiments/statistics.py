r"""How sure a measured accuracy is: spread over seeds, and intervals for the number of test videos.

    spread       standard deviation over seeds, with one seed less in the denominator; NaN for one seed
    Wilson       of n videos with a share p right, at z = 1.96:
                 (p + z^2/2n +- z sqrt(p (1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    bootstrap    for the difference of two networks on the same videos: draw as many groups of videos and as many
                 seeds as there are, with replacement, many times; from the 2.5th to the 97.5th percentile

Wilson's interval takes videos to be independent. Videos of one group (one actor, one place) are not, and so the
bootstrap draws whole groups.
"""

import numpy as np


def mean_and_spread(values):
    """(mean, standard deviation over seeds)."""
    values = np.asarray(values, float)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def shown(values, digits=1):
    """Mean and spread as text; of one seed, which has no spread, the number alone."""
    mean, spread = mean_and_spread(values)
    return f"{mean:.{digits}f}" + (f" ± {spread:.{digits}f}" if len(values) > 1 else "")


def wilson(p, n, z=1.96):
    """95 % interval of a share p of n independent videos: (low, high)."""
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return float((middle - half) / (1 + z**2 / n)), float((middle + half) / (1 + z**2 / n))


def bootstrap(difference, groups, draws=4000, seed=0):
    """(mean, low, high) of differences (seeds, V) between two networks, each seed's pair on the same videos.

    groups (V,): videos of equal value are drawn together.
    """
    rng, S = np.random.default_rng(seed), len(difference)
    _, group = np.unique(groups, return_inverse=True)
    G = group.max() + 1
    sums, counts = np.zeros((S, G)), np.bincount(group, minlength=G)
    for s in range(S):
        sums[s] = np.bincount(group, difference[s], minlength=G)
    means = []
    for _ in range(draws):
        s, g = rng.integers(0, S, S), rng.integers(0, G, G)
        means.append(sums[s][:, g].sum() / (S * counts[g].sum()))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(np.mean(difference)), float(low), float(high)


def group_of(name):
    """The group of a video of UCF-101, or of what is named like it: v_Class_g07_c01 -> v_Class_g07; else itself."""
    stem, _, clip = name.rpartition("_c")
    return stem if stem and clip.split(".")[0].isdigit() else name
