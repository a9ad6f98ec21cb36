"""What small data sets need, where a hundred videos are to train a head on a tower's features.

    standardise     mean and variance of what the first layer with weights reads
    folds           folds by group
    tune            learning rate, weight decay and length, chosen on held-out groups of the training videos
    crossval        heads on many splits, a regression beside them; table: what came out
    heads           `snippets train --heads`: all of that, from a folder of videos to a network
    presets         `--preset`: options from a file
    real            `snippets real`: the paper's networks on clips of films, by film and at random; `real_page` its page

Read `tune` first, then `layers.features.standardise`, which says why. docs/own-videos.md has the measurements.
"""
