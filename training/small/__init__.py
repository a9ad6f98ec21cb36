"""What small data sets need, where a hundred videos are to train a head on a tower's features.

    standardise     mean and variance of what the first layer with weights reads

Read `layers.features.standardise` first, which says why. docs/own-videos.md has the measurements.
"""
