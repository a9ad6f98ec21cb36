"""`snippets bench`: speed and memory, against peers."""
