"""Where arrays live and how kernels are run: array library, scratch memory, launches."""
