"""The C library's `stderr`, silenced for a while: libmpg123, PortAudio, ALSA and JACK write to it
and cannot be stopped.

The stream, not the descriptor: what Python and other threads write to descriptor 2 in the meantime
is seen as ever.
"""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_lock = threading.Lock()
_n_inside = 0
_real: int | None = None


@contextmanager
def quiet_c_stderr() -> Iterator[None]:
    """Drop what C code prints to `stderr` while the context is open, in whatever thread."""
    global _n_inside, _real
    stream, nowhere = _streams()
    if stream is None:
        yield
        return
    with _lock:
        if not _n_inside:
            _real, stream.value = stream.value, nowhere
        _n_inside += 1
    try:
        yield
    finally:
        with _lock:
            _n_inside -= 1
            if not _n_inside:
                stream.value = _real


@cache
def _streams() -> tuple[ctypes.c_void_p | None, int | None]:
    """The variable `stderr` and a stream to nowhere; None where it is no variable, as in musl."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return None, None
    libc.fopen.restype = ctypes.c_void_p
    nowhere = libc.fopen(b"/dev/null", b"we")
    return (ctypes.c_void_p.in_dll(libc, "stderr"), nowhere) if nowhere else (None, None)
