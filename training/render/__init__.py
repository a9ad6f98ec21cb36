"""Pictures and videos of what a network sees and says.

    predictions     `snippets predict --render`: a video beside the network's predictions in time; start here
    canvas          text, boxes and curves on arrays, for its frames
    flow            `snippets flow --render`: optical flow in colours

The demo's pictures are drawn in `training.experiments.report`, drawings of networks in `nets.inspect.draw`.
"""
