"""Streams that follow each other in one file: all of them are heard."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echo_edge.audio import Array, duration_s, read_blocks
from tests.runtime.audio.made import decoded, noise, read, run, snr_db

FFMPEG = ("ffmpeg", "-v", "error", "-i")
MAKERS: dict[str, Callable[[str, str], tuple[str, ...]]] = {
    "wav": lambda source, made: ("sox", source, made),
    "aiff": lambda source, made: ("sox", source, made),
    "au": lambda source, made: ("sox", source, made),
    "w64": lambda source, made: ("sox", source, made),
    "caf": lambda source, made: (*FFMPEG, source, made),
    "flac": lambda source, made: ("flac", "--silent", source, "-o", made),
    "oga": lambda source, made: ("flac", "--silent", "--ogg", source, "-o", made),
    "ogg": lambda source, made: ("oggenc", "-Q", source, "-o", made),
    "opus": lambda source, made: ("opusenc", "--quiet", source, made),
    "mp3": lambda source, made: ("lame", "--quiet", "-V", "4", source, made),
    "m4a": lambda source, made: (*FFMPEG, source, made),
    "webm": lambda source, made: (*FFMPEG, source, made),
    "wma": lambda source, made: (*FFMPEG, source, made),
}
SOURCES = {"first": (1.5, 48000, 2), "second": (1.0, 24000, 1)}
"""Seconds, rate and channels; Opus and Vorbis know the rates, and each changes on the way."""


@pytest.fixture(params=MAKERS)
def parts(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The two files in a folder, called 1 and 2 and their suffix."""
    monkeypatch.chdir(tmp_path)
    for number, (seconds, rate, channels) in enumerate(SOURCES.values(), 1):
        soundfile.write("in.wav", noise(seconds, rate, channels), rate, subtype="PCM_16")
        run(*MAKERS[request.param]("in.wav", f"{number}.{request.param}"))
    return tmp_path


def _alone(path: Path) -> Array:
    samples, message = read(read_blocks(path))
    assert message == ""
    return samples


def test_all_streams_are_heard(parts: Path) -> None:
    first, second = (next(parts.glob(f"{number}.*")) for number in (1, 2))
    joined = parts / f"joined{first.suffix}"
    joined.write_bytes(first.read_bytes() + second.read_bytes() + first.read_bytes())

    pcm, message = read(read_blocks(joined))

    expected = [_alone(path) for path in (first, second, first)]
    assert message == ""
    assert len(pcm) == pytest.approx(sum(map(len, expected)), abs=2)
    n_both = min(len(pcm), sum(map(len, expected)))
    # Where the rate does not change, the resampler knows no seam.
    assert snr_db(pcm[:n_both], np.concatenate(expected)[:n_both]) > 40
    assert sum(map(len, expected)) == pytest.approx(16000 * 4.0, abs=16000 * 0.2)


def test_a_stream_that_breaks_off_before_another(tmp_path: Path) -> None:
    for name in ("1.ogg", "2.ogg"):
        soundfile.write(tmp_path / name, noise(2.0), 16000)
    broken = bytearray((tmp_path / "1.ogg").read_bytes())
    page = broken.find(b"OggS", len(broken) // 2)
    broken[page + 100] ^= 0xFF
    (tmp_path / "3.ogg").write_bytes(bytes(broken) + (tmp_path / "2.ogg").read_bytes())

    pcm, message = read(read_blocks(tmp_path / "3.ogg"))

    assert "stream 1 of 2: " in message
    assert message.count("\n") == 0
    np.testing.assert_allclose(pcm[-31000:], _alone(tmp_path / "2.ogg")[-31000:], atol=1e-5)


@pytest.mark.parametrize("kind", ["wav", "aiff", "au", "w64", "caf"])
@pytest.mark.parametrize("damage", ["cut in its head", "samples of no known form"])
def test_another_recording_whose_head_cannot_be_read_is_said(
    tmp_path: Path, kind: str, damage: str
) -> None:
    soundfile.write(tmp_path / "in.wav", noise(1.0), 16000, subtype="PCM_16")
    run(*MAKERS[kind](str(tmp_path / "in.wav"), str(tmp_path / f"1.{kind}")))
    whole = (tmp_path / f"1.{kind}").read_bytes()
    after_magic = 16 if kind == "w64" else 12
    if damage == "cut in its head":
        second = whole[: after_magic + 4]
    else:
        second = whole[:after_magic] + b"\xee" * 48 + whole[after_magic + 48 :]
    (tmp_path / f"2.{kind}").write_bytes(whole + second)

    pcm, message = read(read_blocks(tmp_path / f"2.{kind}"))

    assert len(pcm) == 16000
    assert "breaks off at 1.000 s, found another recording behind it" in message


def test_mp3_with_tags_between_and_around(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", noise(1.0), 16000)
    alone, mp3 = _alone(tmp_path / "a.mp3"), (tmp_path / "a.mp3").read_bytes()
    id3 = b"ID3\4\0\0\0\0\2\0" + b"\xff\xfb" * 128  # bytes that look like the start of a frame
    ape = b"APETAGEX" + bytes(24)
    old = b"TAG" + bytes(125)
    (tmp_path / "b.mp3").write_bytes(id3 + mp3 + ape + old + id3 + mp3 + bytes(2000) + mp3 + old)

    pcm, message = decoded(tmp_path / "b.mp3")

    assert message == ""
    np.testing.assert_allclose(pcm[:, 0], np.concatenate([alone] * 3), atol=1e-5)


def test_mp3_frames_appended_to_an_index_that_does_not_count_them(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", noise(2.0), 16000, bitrate_mode="CONSTANT")
    mp3 = (tmp_path / "a.mp3").read_bytes()
    index_bytes = mp3.find(mp3[:2], 4)
    (tmp_path / "b.mp3").write_bytes(mp3 + mp3[index_bytes:])

    assert duration_s(tmp_path / "b.mp3") == pytest.approx(4.1, abs=0.1)
    assert len(_alone(tmp_path / "b.mp3")) == pytest.approx(16000 * 4.1, abs=1600)


def test_an_mp3_that_is_cut_in_a_frame_says_so(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", noise(2.0), 16000)
    mp3 = (tmp_path / "a.mp3").read_bytes()
    index_bytes = mp3.find(mp3[:2], 4)
    (tmp_path / "b.mp3").write_bytes(mp3[index_bytes:-20])

    pcm, message = decoded(tmp_path / "b.mp3")

    assert message == "expected the rest of its last MP3 frame"
    assert len(pcm) > 31000


def test_damage_within_an_mp3_is_said(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", noise(4.0), 16000)
    data = bytearray((tmp_path / "a.mp3").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1000] = np.random.default_rng(0).bytes(1000)
    (tmp_path / "b.mp3").write_bytes(data)

    pcm, message = decoded(tmp_path / "b.mp3")

    assert 60000 < len(pcm) <= 64000
    assert "damaged" in message or "expected 4.000 s" in message


def test_lost_ogg_pages_are_said(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", noise(20.0), 16000)
    data = (tmp_path / "a.ogg").read_bytes()
    start = data.find(b"OggS", len(data) // 2)
    (tmp_path / "b.ogg").write_bytes(data[:start] + data[data.find(b"OggS", start + 4) :])

    pcm, message = read(read_blocks(tmp_path / "b.ogg"))

    assert 16000 * 10 < len(pcm) <= 16000 * 20
    assert "Ogg pages are damaged" in message or "expected 20.000 s" in message
