"""A small file written by hand, as CTranslate2 lays it out; the real one where it is there."""

import struct
from pathlib import Path

import numpy as np
import pytest

from training.teachers.ctranslate2_file import read_variables

TYPES = {"<f4": 0, "i1": 1, "<i2": 2, "<i4": 3, "<f2": 4}


def string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def variable(name: str, value: np.ndarray, kind: int) -> bytes:
    shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
    return string(name) + shape + struct.pack("<BI", kind, value.nbytes) + value.tobytes()


def model(variables: list[bytes], version: int = 6) -> bytes:
    head = struct.pack("<I", version) + string("WhisperSpec") + struct.pack("<I", 3)
    return head + struct.pack("<I", len(variables)) + b"".join(variables)


@pytest.mark.parametrize("kind", list(TYPES))
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3, 4)])
def test_every_type_and_shape(kind: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    values = (np.arange(np.prod(shape, dtype=int)) - 5).astype(kind).reshape(shape)
    tail = np.array([7], "<i2")
    stored = [variable("a/weight", values, TYPES[kind]), variable("b", tail, 2)]
    (tmp_path / "model.bin").write_bytes(model(stored))

    found = read_variables(tmp_path / "model.bin")

    assert list(found) == ["a/weight", "b"]
    assert found["a/weight"].dtype == np.dtype(kind)
    assert np.array_equal(found["a/weight"], values)
    assert found["a/weight"].shape == shape
    assert found["b"].tolist() == [7]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (model([], version=5), "found version 5, expected CTranslate2's 6"),
        (model([variable("x", np.zeros(1), 9)]), "found type 9 of x"),
        (model([variable("x", np.zeros(4, "<f4"), 0)])[:-1], "found the end at byte"),
        (b"", "found the end at byte 0"),
    ],
)
def test_what_cannot_be_read_is_said(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(ValueError, match=says):
        read_variables(tmp_path / "model.bin")


def test_whisper_base(teachers: Path) -> None:
    weights = read_variables(teachers / "whisper-base/model.bin")

    assert weights["encoder/conv1/weight"].shape == (512, 80, 3)
    assert weights["encoder/layer_5/self_attention/linear_0/weight"].shape == (1536, 512)
    assert weights["decoder/embeddings/weight"].shape == (51865, 512)
    assert {w.dtype for w in weights.values() if w.size > 1} == {np.dtype(np.float16)}
