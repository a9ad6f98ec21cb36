"""What the layers build: towers for frames, heads for time, and the names by which the command line knows them."""
