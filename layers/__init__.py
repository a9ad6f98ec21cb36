"""The mathematics: one operation a file, its forward and its backward pass written out."""
