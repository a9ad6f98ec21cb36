"""Predictions and flow drawn over videos."""
