"""Convolutions by other sums, in less time on a CPU."""
