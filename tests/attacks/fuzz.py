"""Random and coverage-guided input for everything that reads what others wrote.

    python tests/attacks/fuzz.py TARGET [-runs=N] [-timeout=S] [-rss_limit_mb=N]

TARGET is a name in TARGETS; the options are libFuzzer's (pip install atheris). A traceback, an
input that takes longer than five seconds or more than 1 GiB of memory ends the run with a non-zero
exit code, and the input is kept as crash-*, timeout-* or oom-* in the current folder.
tests/attacks/README.md says what has been run.
"""

import io
import json
import random
import sys
import tarfile
import tempfile
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["echo_edge"]):
    from echo_edge import audio
    from echo_edge.bench import accuracy
    from echo_edge.bundle import keys, manifest, npy, onnx_file
    from echo_edge.bundle import language_model as language
    from echo_edge.bundle import signature as signing
    from echo_edge.bundle import types as manifest_types
    from echo_edge.bundle import verify as bundle
    from echo_edge.deploy import source as bundle_source
    from echo_edge.errors import AudioError, BundleError

PACKAGE = Path(manifest.__file__).parents[1]
WORK = Path(tempfile.mkdtemp())
FILE = WORK / "input"
MANIFEST = (PACKAGE / "default_bundle" / "manifest.json").read_bytes()
HASHES = {"manifest.json": "ab" * 32, "selftest/audio.wav": "cd" * 32}


def fuzz_manifest(data: bytes) -> None:
    try:
        parsed = manifest.parse(data)
    except BundleError as error:
        _is_one_line(error)
    else:
        assert manifest.parse(manifest.dump(parsed)) == parsed


def fuzz_signature(data: bytes) -> None:
    try:
        signing.verify(data, TRUSTED)
    except BundleError as error:
        _is_one_line(error)


def fuzz_statement(data: bytes) -> None:
    """What only the holder of a trusted key can send."""
    try:
        signing.read_statement(data)
    except BundleError as error:
        _is_one_line(error)


def fuzz_tar(data: bytes) -> None:
    try:
        places = bundle_source._tar(io.BytesIO(data), "input")
    except BundleError as error:
        _is_one_line(error)
    else:
        for name, (start, size_bytes) in places.items():
            assert manifest_types.is_file_name(name)
            assert 512 <= start <= start + size_bytes <= len(data)


def fuzz_onnx(data: bytes) -> None:
    FILE.write_bytes(data)
    try:
        onnx_file.check_onnx(FILE, "input", SPEC)
    except BundleError as error:
        _is_one_line(error)


def fuzz_npy(data: bytes) -> None:
    try:
        array = npy.read_npy(data)
    except ValueError:
        return
    assert array.nbytes <= len(data)


def fuzz_truth(data: bytes) -> None:
    try:
        turns, text = accuracy.read_truth(data, 60.0)
    except BundleError as error:
        _is_one_line(error)
    else:
        assert text.isprintable()
        assert all(0 <= turn.start_s < turn.end_s <= 60 and turn.speaker for turn in turns)


def fuzz_language(data: bytes) -> None:
    FILE.write_bytes(data)
    try:
        bundle._check_archive(FILE, "input")
        language.load_language_model(FILE)
    except BundleError as error:
        _is_one_line(error)


def fuzz_audio(data: bytes) -> None:
    FILE.write_bytes(data)
    try:
        for block in audio.read_blocks(FILE, block_s=1.0):
            assert block.dtype == "float32"
    except AudioError as error:
        _is_one_line(error)


def fuzz_heard(data: bytes) -> None:
    import heard  # needs PyAV and ffmpeg

    heard.fuzz_heard(data)


def _is_one_line(error: Exception) -> None:
    assert str(error).isprintable(), str(error)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "manifest": fuzz_manifest,
    "signature": fuzz_signature,
    "statement": fuzz_statement,
    "tar": fuzz_tar,
    "onnx": fuzz_onnx,
    "npy": fuzz_npy,
    "truth": fuzz_truth,
    "language": fuzz_language,
    "audio": fuzz_audio,
    "heard": fuzz_heard,
}

keys.generate(WORK / "fuzz", None)
TRUSTED = keys.trusted_keys(WORK)
SPEC = manifest.parse(MANIFEST).graphs["asr"]


def _seeds(target: str) -> list[bytes]:
    """Valid inputs, to begin with."""
    signature = signing.sign("x", HASHES, keys.read_private_key(WORK / "fuzz.key"))
    if target == "manifest":
        return [MANIFEST, json.dumps(json.loads(MANIFEST)).encode()]
    if target == "signature":
        return [signature]
    if target == "statement":
        import base64

        return [base64.b64decode(json.loads(signature)["dsseEnvelope"]["payload"])]
    if target == "tar":
        return [_tar_of(form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
    if target == "onnx":
        return [_onnx()]
    if target == "npy":
        return [(PACKAGE / "default_bundle/selftest/diarization.npy").read_bytes()]
    if target == "truth":
        return [b"talk 1 ada 0.50 1.50 one two\ntalk 1 ben 1.25 2.00 three\n"]
    if target == "language":
        return [_language(zipfile.ZIP_STORED), _language(zipfile.ZIP_DEFLATED)]
    if target == "heard":
        import heard  # noqa: F401 - makes its files, before the clock of the first input runs

        return [bytes(random.Random(number).randbytes(64)) for number in range(64)]
    return [_wav(), *_encoded()]


def _language(compression: int) -> bytes:
    """A language model of two words."""
    arrays = {
        "phones": np.array([b"<blank>", b"<space>", b"a", b"b"]),
        "sounds": np.array([b"\2", b"\3"]),
        "words": np.array([b"a", b"b"]),
        "unigram": np.zeros(2, "f4"),
        "backoff": np.zeros(3, "f4"),
        "rows": np.array([0, 1, 1, 2], "u4"),
        "columns": np.array([1, 0], "u2"),
        "bigram": np.zeros(2, "f4"),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return out.getvalue()


def _onnx() -> bytes:
    """A graph with a branch, a constant and a weight that is kept elsewhere."""
    from onnx import TensorProto, helper

    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    outside = helper.make_tensor("e", TensorProto.FLOAT, [0], [])
    outside.data_location = TensorProto.EXTERNAL
    entry = outside.external_data.add()
    entry.key, entry.value = "location", "w.bin"
    constant = helper.make_node("Constant", [], ["c"], value=outside)
    branch = helper.make_graph([constant], "b", [], [])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch)
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy"]
    graph = helper.make_graph([node], "g", tensors[:1], tensors[1:], [weight])
    return bytes(helper.make_model(graph).SerializeToString())


def _tar_of(form: int) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as archive:
        for name in ("./manifest.json", "./selftest/audio.wav"):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = 5, 1.5  # type: ignore[assignment]
            archive.addfile(info, io.BytesIO(b"hello"))
    return data.getvalue()[:6144]


def _wav() -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as out:
        out.setparams((2, 2, 8000, 0, "NONE", ""))
        out.writeframes(bytes(range(256)) * 4)
    return data.getvalue()


def _encoded() -> list[bytes]:
    import soundfile

    noise = np.random.default_rng(0).normal(0, 0.1, 800)
    found = []
    for form in ("FLAC", "OGG", "AIFF", "AU", "W64", "CAF", "MP3"):
        data = io.BytesIO()
        soundfile.write(data, noise, 16000, format=form)
        found.append(data.getvalue())
    return found


def _mutate_tar(data: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's own mutation, then checksums made right: without that hardly one input in a
    million would get past them."""
    mutated = bytearray(atheris.Mutate(bytes(data), max_size))
    if random.Random(seed).random() < 0.9:
        for at in range(0, len(mutated) - 511, 512):
            header = mutated[at : at + 512]
            if any(header):
                header[148:156] = b" " * 8
                mutated[at + 148 : at + 156] = b"%06o\0 " % sum(header)
    return bytes(mutated)


def main() -> None:
    target = sys.argv[1] if len(sys.argv) > 1 else ""
    if target not in TARGETS:
        sys.exit(f"fuzz: found {target!r}, expected one of {', '.join(TARGETS)}")
    corpus = WORK / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(_seeds(target)):
        (corpus / f"seed{number}").write_bytes(seed)
    defaults = ["-timeout=5", "-rss_limit_mb=1024", "-max_len=16384", "-verbosity=0",
                "-print_final_stats=1"]  # fmt: skip
    arguments = [sys.argv[0], *defaults, *sys.argv[2:], str(corpus)]
    if target == "tar":
        atheris.Setup(arguments, TARGETS[target], custom_mutator=_mutate_tar)
    else:
        atheris.Setup(arguments, TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
