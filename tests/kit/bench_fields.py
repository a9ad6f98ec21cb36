"""What a row of `snippets bench --json` holds."""

TIMES = {"ours_ms", "ours_min_ms", "peer_ms", "peer_min_ms", "products_ms", "memory_ms", "floor_ms"}
NUMBERS = TIMES | {"ratio", "fraction", "peak_mb"}
WORDS = {"name", "unit", "bound", "peer", "note", "best"}
WITHOUT_FLOOR = "decode", "tvl1"  # nor is PyTorch a peer
