"""Training over processes and machines: MPI, Downpour SGD, and their simulation."""
