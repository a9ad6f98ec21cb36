"""Optical flow: TV-L1, and its images."""
