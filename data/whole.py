"""Whether all bytes of a video file are there and unchanged, as far as the file itself says."""

import os
import zlib

SEGMENT, CLUSTER, CRC = 0x18538067, 0x1F43B675, 0xBF  # Matroska's names: all that follows, some frames, a checksum


def all_bytes(path, name: str) -> bool | None:
    """True, False, or None where a file of FFmpeg's format `name`, or this one, does not say."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if name == "avi":  # RIFF and the length of what follows
            return size >= 8 + int.from_bytes(file.read(8)[4:], "little")
        if name == "mpegts" and all(size % length for length in (188, 192, 204)):  # of a packet
            return False
        if name.startswith("matroska"):
            return _clusters(file, size)
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


def _clusters(file, size):
    """Matroska and WebM: whether each cluster of frames is there and has the checksum that it begins with, if any."""
    last = None  # byte of the segment
    while file.tell() < size:
        name, length = _number(file, keep=True), _number(file)
        if name is None or length is None:
            return None  # written live, its lengths unknown
        end = file.tell() + length
        if name == SEGMENT:
            last = end
            continue
        if end > size:
            return False if name == CLUSTER else None
        if name == CLUSTER:
            if _number(file, keep=True) == CRC and _number(file) == 4:
                expected, found = int.from_bytes(file.read(4), "little"), 0
                while block := file.read(max(0, min(1 << 20, end - file.tell()))):
                    found = zlib.crc32(block, found)
                if found != expected:
                    return False
        file.seek(end)
    return True if last == size else None


def _number(file, keep=False):
    """An integer as Matroska stores it: one byte more than the first byte has leading zeros; None: unknown.

    keep: with the first 1, as in names.
    """
    first = file.read(1).strip(b"\0")
    if not first:
        return None
    more = 8 - first[0].bit_length()
    value, ones = int.from_bytes(first + file.read(more), "big"), (1 << 7 * (more + 1)) - 1
    return value if keep else None if value & ones == ones else value & ones
