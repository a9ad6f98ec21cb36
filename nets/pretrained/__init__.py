"""Trained weights from elsewhere."""
