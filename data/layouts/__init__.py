"""How data sets are laid out on disk and split."""
