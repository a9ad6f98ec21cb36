"""Whether a video file is as long as its own headers say."""

import os

SEGMENT = bytes.fromhex("18538067")  # of Matroska and WebM


def all_bytes(path, name: str) -> bool | None:
    """True or False for FFmpeg's format `name`; None where a file of this kind, or this one, does not say."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if name == "avi":  # RIFF and the length of what follows
            return size >= 8 + int.from_bytes(file.read(8)[4:], "little")
        if name == "mpegts":  # packets, also with a time or a checksum each
            return any(size % length == 0 for length in (188, 192, 204))
        if name.startswith("matroska"):
            file.seek(4)  # the header's name
            file.seek(_vint(file) or 0, os.SEEK_CUR)
            length = _vint(file) if file.read(4) == SEGMENT else None
            return None if length is None else size >= file.tell() + length
        if name.startswith("mov"):  # boxes, one after the other
            end = 0
            while end + 8 <= size:
                file.seek(end)
                length = int.from_bytes(file.read(4), "big")
                if length == 1:
                    file.seek(4, os.SEEK_CUR)
                    length = int.from_bytes(file.read(8), "big")
                if length == 0:  # as far as the file goes
                    return None
                end += max(length, 8)
            return size >= end
    return None


def _vint(file):
    """Matroska's numbers: as many bytes as the first one has zeros in front, and one more; None: not known."""
    first = file.read(1) or b"\xff"
    count = 8 - first[0].bit_length()
    value = int.from_bytes(first + file.read(count), "big") & ((1 << 7 * (count + 1)) - 1)
    return None if value == (1 << 7 * (count + 1)) - 1 else value
