"""`snippets claims`: sentences that an experiment could contradict.

    sentences       the paper's, and the networks that they compare. Start here.
    ablations       ours, where the paper leaves a choice open (docs/ambiguities.md)
    lab             where they are tried: on rendered videos, and on real features
    judge           runs the experiments; the page

One rule gives every verdict; it stands in `judge`.
"""
