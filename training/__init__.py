"""Training, evaluation, and what is kept of both."""
