"""Files that sox, lame, ffmpeg, flac, opusenc and oggenc write: the samples are ffmpeg's."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from echo_edge.audio import read_blocks
from tests.runtime.audio.made import by_ffmpeg, decoded, noise, read, run, snr_db

SOX = ("sox", "in.wav")
FFMPEG = ("ffmpeg", "-v", "error", "-i", "in.wav")

LOSSLESS = {
    "wav 8 bit": (*SOX, "-b", "8", "a.wav"),
    "wav 16 bit": (*SOX, "-b", "16", "a.wav"),
    "wav 24 bit": (*SOX, "-b", "24", "a.wav"),
    "wav 32 bit": (*SOX, "-b", "32", "a.wav"),
    "wav float": (*SOX, "-e", "float", "-b", "32", "a.wav"),
    "wav double": (*SOX, "-e", "float", "-b", "64", "a.wav"),
    "wav A-law": (*SOX, "-e", "a-law", "a.wav"),
    "wav mu-law": (*SOX, "-e", "u-law", "a.wav"),
    "wav ffmpeg": (*FFMPEG, "a.wav"),
    "wav ffmpeg 24": (*FFMPEG, "-c:a", "pcm_s24le", "a.wav"),
    "wav extensible": (*FFMPEG, "-c:a", "pcm_s24le", "-ac", "6", "a.wav"),
    "rf64": (*FFMPEG, "-rf64", "always", "a.wav"),
    "w64 sox": (*SOX, "a.w64"),
    "w64 ffmpeg": (*FFMPEG, "a.w64"),
    "aiff": (*SOX, "a.aiff"),
    "aiff 24": (*SOX, "-b", "24", "a.aiff"),
    "aiff-c float": (*FFMPEG, "-c:a", "pcm_f32be", "a.aiff"),
    "caf": (*FFMPEG, "a.caf"),
    "caf float": (*FFMPEG, "-c:a", "pcm_f64be", "a.caf"),
    "au": (*SOX, "a.au"),
    "au mu-law": (*SOX, "-e", "u-law", "a.au"),
    "flac": ("flac", "--silent", "in.wav", "-o", "a.flac"),
    "flac 24": (*FFMPEG, "-sample_fmt", "s32", "a.flac"),
    "flac fast": ("flac", "--silent", "-0", "in.wav", "-o", "a.flac"),
    "flac in ogg": ("flac", "--silent", "--ogg", "in.wav", "-o", "a.oga"),
}
LOSSY = {
    "mp3 constant": ("lame", "--quiet", "-b", "128", "in.wav", "a.mp3"),
    "mp3 variable": ("lame", "--quiet", "-V", "5", "in.wav", "a.mp3"),
    "mp3 average": ("lame", "--quiet", "--abr", "96", "in.wav", "a.mp3"),
    "mp3 constant, no index": ("lame", "--quiet", "-t", "-b", "128", "in.wav", "a.mp3"),
    "mp3 variable, no index": ("lame", "--quiet", "-t", "-V", "5", "in.wav", "a.mp3"),
    "mp3 ffmpeg": (*FFMPEG, "-b:a", "64k", "a.mp3"),
    "mp3 ffmpeg, no index": (*FFMPEG, "-q:a", "6", "-write_xing", "0", "a.mp3"),
    "mp3 with tags": ("lame", "--quiet", "--add-id3v2", "--tt", "x" * 90, "in.wav", "a.mp3"),
    "mp3 old tag": ("lame", "--quiet", "--id3v1-only", "--tt", "x", "in.wav", "a.mp3"),
    "wav IMA": (*FFMPEG, "-c:a", "adpcm_ima_wav", "a.wav"),
    "vorbis": ("oggenc", "-Q", "in.wav", "-o", "a.ogg"),
    "vorbis ffmpeg": (*FFMPEG, "-c:a", "libvorbis", "a.ogg"),
    "opus": ("opusenc", "--quiet", "in.wav", "a.opus"),
    "opus ffmpeg": (*FFMPEG, "-c:a", "libopus", "a.ogg"),
}


def _make(folder: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> Path:
    """A file made of two seconds that grow louder, so that a variable rate varies."""
    channels, rate = (1, 16000) if "6" in command else (2, 48000)
    signal = noise(2.0, rate, channels) * np.linspace(0.01, 1, 2 * rate)[:, None]
    soundfile.write(folder / "in.wav", signal, rate, subtype="PCM_16")
    monkeypatch.chdir(folder)
    run(*command)
    (made,) = (path for path in folder.iterdir() if path.name != "in.wav")
    return made


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_is_what_ffmpeg_decodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    path = _make(tmp_path, monkeypatch, LOSSLESS[name])

    pcm, message = decoded(path)

    assert message == ""
    np.testing.assert_array_equal(pcm, by_ffmpeg(path, pcm.shape[1]))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_is_what_ffmpeg_decodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    path = _make(tmp_path, monkeypatch, LOSSY[name])

    pcm, message = decoded(path)
    expected = by_ffmpeg(path, pcm.shape[1])

    assert message == ""
    assert len(pcm) == len(expected)
    # Programs round the steps of IMA ADPCM in one of two ways.
    assert snr_db(pcm, expected) >= (50 if "IMA" in name else 60)
    assert capfd.readouterr().err == ""


def test_joint_stereo_at_24_khz_is_what_lame_decodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # lame, libmad and libmpg123 agree on this file, ffmpeg's decoder is 28 dB from them all.
    path = _make(tmp_path, monkeypatch, ("lame", "--quiet", "-b", "64", "in.wav", "a.mp3"))
    run("lame", "--quiet", "--decode", "a.mp3", "lame.wav")

    pcm, message = decoded(path)

    expected = soundfile.read("lame.wav", dtype="float32")[0]
    assert (len(pcm), message) == (len(expected), "")
    assert snr_db(pcm, expected) >= 60


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
def test_in_pieces_as_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = _make(tmp_path, monkeypatch, (LOSSLESS | LOSSY)[name])
    whole, _ = decoded(path)
    blocks, _ = read(read_blocks(path, 100.0))

    for module in ("linear", "sound"):
        monkeypatch.setattr(f"echo_edge.audio.{module}.PIECE_FRAMES", 160)

    np.testing.assert_array_equal(decoded(path)[0], whole)
    np.testing.assert_allclose(read(read_blocks(path, 0.07))[0], blocks, atol=1e-6)
