"""The mini data set, rendered from a seed."""
