"""Networks looked at, not run: all of it reads shapes alone, so that a network without weights will do.

Read fake first: how a network runs on arrays that have no elements.

layer_memory  what each kind of layer takes of memory
memory        what a training step or a prediction takes, and how to make it fit
summary       a table of the layers
draw, figure  a picture in the manner of the paper's Figure 2
pages         the tables and pictures of docs/architectures

Not here: the memory of a GPU, which is not predicted.
"""
