import io

import numpy as np
import pytest

from echo_edge.bundle.npy import read_npy


def _bytes(array: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.save(data, array, allow_pickle=True)
    return data.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.arange(6, dtype="<f2").reshape(2, 3), id="half"),
        pytest.param(np.arange(6, dtype="<f4").reshape(2, 3).T, id="fortran"),
        pytest.param(np.arange(24, dtype=">i8").reshape(2, 3, 4), id="big endian"),
        pytest.param(np.array([b"one", b"three"]), id="bytes"),
        pytest.param(np.array(["ä", "three"]), id="text"),
        pytest.param(np.array([True, False]), id="booleans"),
        pytest.param(np.array(1.5), id="one number"),
        pytest.param(np.zeros((0, 3)), id="nothing"),
        pytest.param(np.zeros((1,) * 8, "u1"), id="eight axes"),
    ],
)
def test_reads_what_numpy_writes(array: np.ndarray) -> None:
    found = read_npy(_bytes(array))

    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)


GOOD = _bytes(np.arange(6, dtype="<f4"))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD[:40], id="half a header"),
        pytest.param(GOOD[:-1], id="a byte less"),
        pytest.param(GOOD + b"\0", id="a byte more"),
        pytest.param(GOOD.replace(b"(6,)", b"(9,)"), id="another shape"),
        pytest.param(GOOD.replace(b"<f4", b"<f3"), id="no type"),
        pytest.param(GOOD.replace(b"<f4", b"|O4"), id="objects"),
        pytest.param(GOOD.replace(b"False", b"exit("), id="code"),
        pytest.param(_bytes(np.array([{}], object)), id="a pickle"),
        pytest.param(b"\x93NUMPY\x02" + GOOD[7:], id="another version"),
        pytest.param(_bytes(np.zeros(2, [("a", "f4"), ("b", "f4")])), id="records"),
    ],
)
def test_refuses(data: bytes) -> None:
    with pytest.raises(ValueError, match="found"):
        read_npy(data)
