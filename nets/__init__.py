"""What the layers build: towers that read single frames, and heads that join the frames of a clip.

Read alexnet, frames (one tower for all frames), pooling and recurrent (the paper's heads), then zoo, where each of
them has a name. How to add a head stands in zoo.

towers      alexnet googlenet auxiliary slow_fusion
frames      frames (clips to frames and back, in threads) recompute (forward again instead of caches)
heads       pooling recurrent frame_predictions (one answer out of those of all frames)
zoo         NetConfig, from a name to a network
expand      a network from the weights of another
streaming/  a video of any length in constant memory
pretrained/ trained weights from elsewhere
inspect/    tables and pictures of a network, and the memory that it will take

Not here: losses and training (`training`), pictures of predictions (`training.render`).
"""
