"""Trained weights from elsewhere, for GoogLeNet (docs/weights.md).

files  arrays by name from .npz, .safetensors and .onnx
names  whose names these are, and which of our layers each array is for

Not here: our own checkpoints (`training.checkpoint`).
"""
