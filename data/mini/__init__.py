"""The mini data set: a small UCF-101 look-alike, rendered from a seed. Read first `make`, which says what it is for.

make        classes, lists and files
scenes      what happens in a clip
sprites     shapes, and the canvas that they are painted on
camera_shake    the same clips under a shaking camera
"""
