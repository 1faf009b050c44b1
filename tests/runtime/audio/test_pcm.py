import io
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_edge.audio import SAMPLE_RATE, pcm_blocks
from echo_edge.errors import AudioError
from tests.runtime.audio.made import read


class TestPcm:
    class Trickle(io.RawIOBase):
        """A stream whose reads are short, as a pipe's are."""

        def __init__(self, data: bytes) -> None:
            self._data = io.BytesIO(data)

        def read(self, size: int = -1, /) -> bytes:
            return self._data.read(min(size, 7))

    @given(st.binary(max_size=200), st.integers(1, 40))
    def test_every_byte_arrives(self, data: bytes, n_samples: int) -> None:
        samples, error = read(pcm_blocks(self.Trickle(data), n_samples / SAMPLE_RATE))

        expected = np.frombuffer(data[: len(data) // 2 * 2], "<i2") / 32768
        np.testing.assert_array_equal(samples, expected.astype(np.float32))
        assert ("found an odd number of bytes" in error) == (len(data) % 2 == 1)

    def test_blocks(self) -> None:
        blocks = list(pcm_blocks(io.BytesIO(bytes(40000)), 0.5))

        assert [len(block) for block in blocks] == [8000, 8000, 4000]
        assert blocks[0].dtype == np.float32

    def test_failing_stream(self) -> None:
        class Broken(io.BytesIO):
            def read(self, _: int | None = -1, /) -> bytes:
                raise OSError(5, "Input/output error")

        with pytest.raises(AudioError, match="Input/output error"):
            next(pcm_blocks(Broken()))

    def test_non_blocking_stream(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        with (
            open(reader, "rb", buffering=0) as stream,  # noqa: PTH123
            open(writer, "wb"),  # noqa: PTH123
            pytest.raises(AudioError, match="expected a blocking one"),
        ):
            next(pcm_blocks(stream))
