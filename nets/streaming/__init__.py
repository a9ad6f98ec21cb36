"""A video of any length through a network in constant memory.

stream    the answer to the whole video
timeline  the answer after each frame

Not here: decoding (`data.video`), and what is drawn of it (`training.render`).
"""
