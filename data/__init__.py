"""Data: from a path to batches of clips x (N, T, H, W, 3).

Read first `open` (what DATA may be), then `loader` (data sets and batches), `augment` (crops and frames) and `video`.

open        `open_data`: a training and a test set from a folder of videos or a file of features
loader      `ClipSet` and `batches`; `features` has the data set of features computed before
decoder     where the frames of a video come from
video       decodes video files; `pictures`: folders of numbered pictures; `display` turns a frame the right way up and
            resamples in time, `whole` finds files cut short
augment     which frames and which part of them a network sees
listing     the videos below a folder, and names as text
files       files written whole or not at all; `lock`: one run per folder
options     settings that are also command-line options; `markdown`: tables

In rooms of their own: `layouts` (manifests, UCF-101, Sports-1M, HMDB51, class folders), `store` (frames, flow and
features kept on disk), `flow` (optical flow), `mini` (the rendered data set). Not here: networks, and what trains them.
"""
