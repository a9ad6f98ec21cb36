"""Optical flow by TV-L1, from scratch. Read first `tvl1`, whose docstring has the equations.

tvl1        the flow (N, H, W, 2) in pixels between frames (N, H, W); `tvl1.cu` is its iteration on a GPU
warp        what it does to whole images: warp, resize, smooth, median
images      flow as images for the network, decoded from videos and cached
known       painted pairs of frames whose flow is known; truth: files of true flow, and the end-point error
"""
