"""The demo, the paper's tables and claims, comparisons."""
