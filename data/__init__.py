"""From a path to batches of clips."""
