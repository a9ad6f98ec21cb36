"""Layers on features of frames, between tower and head: `differences` over time, `standardise` for small data sets."""
