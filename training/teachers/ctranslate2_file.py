"""Variables of a CTranslate2 model file (`model.bin`, version 6), without CTranslate2.

Little endian: u32 version, string name of the model's kind, u32 revision, u32 number of variables;
then each one: string name, u8 rank, u32 per dimension, u8 type, u32 bytes, data. A string is u16
length and so many bytes, the last one NUL.
"""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VERSION = 6
TYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}


class _Reader:
    """A file's bytes and how far they are read."""

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.at = path, path.read_bytes(), 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes; ValueError if there are fewer."""
        if self.at + count > len(self.data):
            raise ValueError(f"{self.path}: found the end at byte {len(self.data)}, expected more")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, code: str) -> int:
        """One unsigned integer: B, H or I of `struct`."""
        (value,) = struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))
        return int(value)

    def string(self) -> str:
        """One string without its NUL."""
        return self.take(self.number("H"))[:-1].decode()


def read_variables(path: Path) -> dict[str, NDArray[np.generic]]:
    """Name -> array, read-only, in the file's own type and shape; rank 0 for a single number.

    Raises ValueError for another version, an unknown type or a file that ends early.
    """
    reader = _Reader(path)
    version = reader.number("I")
    if version != VERSION:
        raise ValueError(f"{path}: found version {version}, expected CTranslate2's {VERSION}")
    reader.string()
    reader.number("I")
    found: dict[str, NDArray[np.generic]] = {}
    for _ in range(reader.number("I")):
        name = reader.string()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        kind = reader.number("B")
        if kind not in TYPES:
            raise ValueError(f"{path}: found type {kind} of {name}, expected one of {list(TYPES)}")
        data = reader.take(reader.number("I"))
        found[name] = np.frombuffer(data, TYPES[kind]).reshape(shape)
    return found
