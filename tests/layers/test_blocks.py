"""How work is cut into blocks, counted by hand."""

import pytest

from snippets.layers import conv


@pytest.mark.parametrize(
    "x_shape, limit, largest, images",
    [
        ((5, 9, 11, 2), 1000, 2**31, 2),  # 4 x 5 windows of 3 x 3 x 2 numbers: 360 for an image
        ((5, 9, 11, 2), 1080, 2**31, 3),
        ((5, 9, 11, 2), 1079, 2**31, 2),
        ((5, 9, 11, 2), 1000, 719, 1),  # a kernel counts in int
        ((5, 9, 11, 2), 100, 2**31, 1),  # one image at least
        ((5, 20, 20, 2), 1600, 2**31, 2),  # the image itself has 800
    ],
)
def test_images_whose_windows_a_gpu_copies_at_once(monkeypatch, x_shape, limit, largest, images):
    monkeypatch.setattr(conv, "GPU_ELEMENTS", limit)
    monkeypatch.setattr(conv, "LARGEST", largest)
    blocks = conv.image_blocks(x_shape, (3, 3, 2, 7), (2, 1, 1, 4, 5))
    assert [(b.start, b.stop) for b in blocks] == [(n, n + images) for n in range(0, 5, images)]
