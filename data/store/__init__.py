"""Frames, flow and features of videos, computed once and kept on disk.

store       `Store`: one array per video, computed when it is not there
manifest    what a store knows of its videos; array: one of its files
processes   a function in several processes, and jobs over videos in them

Not here: what is kept; that is a `Source`, see data/decoder.py.
"""
