"""Reading .npy data of unknown origin: no objects, no evaluation, no more memory than it takes.

numpy's own reader evaluates the header as Python, which fails in ways that it does not promise, and
takes memory for the shape that the header claims.
"""

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADER = re.compile(
    rb"\{'descr': '([<>|][biufSU]\d{1,3})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,10}(?:, \d{1,10}){0,7},?)?)\), \} *\n"
)


def read_npy(data: bytes) -> NDArray[Any]:
    """The array that `data`, a whole .npy file of version 1.0 as numpy writes it, holds: booleans,
    integers, floats or text.

    Raises ValueError unless the header is one and the bytes after it are as many as it says.
    """
    start = 10 + int.from_bytes(data[8:10], "little")
    header = _HEADER.fullmatch(data[10:start])
    if data[:8] != b"\x93NUMPY\x01\x00" or header is None:
        raise ValueError("found no header of version 1.0")
    try:
        dtype = np.dtype(header[1].decode())
    except TypeError as error:
        raise ValueError(f"found no type ({error})") from error
    shape = tuple(int(size) for size in re.findall(rb"\d+", header[3]))
    n_bytes = len(data) - start
    if n_bytes != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"found {n_bytes} bytes, expected {dtype}{list(shape)}")
    array = np.frombuffer(data, dtype, offset=start) if n_bytes else np.zeros(0, dtype)
    return array.reshape(shape, order="F" if header[2] == b"True" else "C")
