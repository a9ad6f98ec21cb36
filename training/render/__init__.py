"""Pictures and videos of what a network sees and says.

    predictions     `snippets predict --render`: a video beside the network's predictions in time; start here
    canvas          text, boxes and curves on arrays, for its frames
    flow            `snippets flow --render`: optical flow in colours
    page            a page in HTML that stands alone; `charts`: the curves and film strips on it

What stands on which page is said in `training.experiments` (`report`, `demo_page`), drawings of networks are in
`nets.inspect.draw`.
"""
