"""What phones, browsers and Windows record, by PyAV, by ffmpeg, and by neither."""

import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from echo_edge.audio import duration_s, read_blocks
from echo_edge.audio.read import file_pieces
from echo_edge.errors import AudioError
from tests.runtime.audio.made import by_ffmpeg, decoded, read, run, snr_db

SOUND = ("-f", "lavfi", "-i", "anoisesrc=d=3:r=48000:a=0.3", "-ac", "2")
FILES = {
    "m4a": ("a.m4a",),
    "m4a, index in front": ("-movflags", "faststart", "a.m4a"),
    "m4a of ALAC": ("-c:a", "alac", "a.m4a"),
    "fragmented mp4": ("-movflags", "frag_keyframe+empty_moov", "a.mp4"),
    "webm": ("a.webm",),
    "webm without a length": ("-live", "1", "a.webm"),
    "mkv": ("-c:a", "flac", "a.mkv"),
    "wma": ("a.wma",),
    "aac": ("a.aac",),
    "avi": ("-c:a", "pcm_s16le", "a.avi"),
    "ts": ("-c:a", "aac", "a.ts"),
    "flv": ("-c:a", "aac", "-ar", "44100", "a.flv"),
    "quicktime": ("a.mov",),
    "wavpack": ("a.wv",),
    "speex": ("-c:a", "libspeex", "-ar", "16000", "a.spx"),
}


@pytest.fixture(params=["PyAV", "ffmpeg"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The one that is there."""
    if request.param == "PyAV":
        pytest.importorskip("av", reason="needs pip install av")
        monkeypatch.setattr("shutil.which", lambda _: None)
    else:
        monkeypatch.setattr("echo_edge.audio.media._has_pyav", lambda: False)
    return str(request.param)


def _make(folder: Path, name: str, *more: str) -> Path:
    *options, made = FILES[name]
    done = subprocess.run(
        ["ffmpeg", "-v", "error", *SOUND, *options, *more, folder / made],
        capture_output=True,
        check=False,
    )
    if b"Unknown encoder" in done.stderr:
        pytest.skip(f"this ffmpeg does not write {name}")
    assert done.returncode == 0, done.stderr
    return folder / made


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("name", FILES)
def test_it_is_what_ffmpeg_decodes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    path = _make(tmp_path, name)

    pcm, message = decoded(path)

    expected = _by_ffmpeg(path, pcm.shape[1])
    assert message == ""
    assert len(pcm) == len(expected)
    assert snr_db(pcm, expected) >= 60
    assert capfd.readouterr().err == ""


def _by_ffmpeg(path: Path, channels: int) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.which", lambda _: "yes")
        return by_ffmpeg(path, channels)


@pytest.mark.usefixtures("decoder")
def test_amr(tmp_path: Path) -> None:
    # Nothing free writes it: frames of 12.2 kbit/s with random bits, 20 ms each.
    random = np.random.default_rng(0)
    frames = b"".join(b"\x3c" + random.bytes(31) for _ in range(100))
    (tmp_path / "a.amr").write_bytes(b"#!AMR\n" + frames)

    pcm, message = decoded(tmp_path / "a.amr")

    assert (len(pcm), message) == (16000, "")
    assert snr_db(pcm, _by_ffmpeg(tmp_path / "a.amr", 1)) >= 60


@pytest.mark.usefixtures("decoder")
def test_a_video_is_heard(tmp_path: Path) -> None:
    sound = ("-f", "lavfi", "-i", "anoisesrc=d=2:r=48000:a=0.3")
    video = ("-f", "lavfi", "-i", "testsrc=d=3:s=64x48:r=5")
    path = tmp_path / "a.mp4"
    subprocess.run(["ffmpeg", "-v", "error", *video, *sound, path], check=True)

    samples, message = read(read_blocks(path))

    assert message == ""
    assert len(samples) == pytest.approx(32000, abs=1000)


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("name", ["m4a, index in front", "webm", "wma", "aac", "mkv"])
def test_what_is_cut_short_is_heard_and_said(tmp_path: Path, name: str) -> None:
    path = _make(tmp_path, name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])

    samples, message = read(read_blocks(path))

    assert 16000 * 1.2 < len(samples) < 16000 * 2.4
    assert message.startswith(f"{path}: ")
    assert message.isprintable()


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("name", ["m4a", "webm", "wma"])
def test_what_cannot_be_decoded_is_refused(tmp_path: Path, name: str) -> None:
    path = _make(tmp_path, name)
    path.write_bytes(path.read_bytes()[:40] + bytes(4000))

    for attempt in (lambda: next(read_blocks(path)), lambda: duration_s(path)):
        with pytest.raises(AudioError) as caught:
            attempt()
        assert f"ffmpeg -i {path} " in str(caught.value)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("head", "title"),
    [
        (b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom", "MP4, M4A or 3GP"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01", "WebM or Matroska"),
        (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "WMA"),
        (b"#!AMR\n", "AMR"),
    ],
)
def test_without_either_the_command_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes, title: str
) -> None:
    monkeypatch.setattr("echo_edge.audio.media._has_pyav", lambda: False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.chdir(tmp_path)
    Path("a memo.m4a").write_bytes(head + bytes(4000))

    for attempt in (lambda: next(read_blocks("a memo.m4a")), lambda: duration_s("a memo.m4a")):
        with pytest.raises(AudioError) as caught:
            attempt()
        assert f"a memo.m4a: found {title}, which FFmpeg reads" in str(caught.value)
        assert "apt install ffmpeg" in str(caught.value)
        assert "ffmpeg -i 'a memo.m4a' 'a memo.wav'" in str(caught.value)


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n" * 2,
        "ffconcat version 1.0\nfile /etc/hostname\nfile http://127.0.0.1:9/a.mp3\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    ],
)
@pytest.mark.parametrize("suffix", ["m4a", "m3u8", "mp3"])
def test_a_list_of_other_files_is_refused(tmp_path: Path, text: str, suffix: str) -> None:
    (tmp_path / f"a.{suffix}").write_text(text)

    with pytest.raises(AudioError, match="not audio that can be read"):
        next(read_blocks(tmp_path / f"a.{suffix}"))


def test_ffmpeg_ends_when_nobody_reads_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echo_edge.audio.media._has_pyav", lambda: False)
    path = tmp_path / "a.m4a"
    run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=60", path)
    before = _children()

    with path.open("rb", buffering=0) as file:
        pieces = file_pieces(file, "file")
        next(pieces)
        started = _children() - before
        pieces.close()  # type: ignore[attr-defined]

    assert len(started) == 1
    deadline = time.monotonic() + 5
    while started & _children() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not started & _children()


def _children() -> set[int]:
    """Processes that this one began."""
    own = f" {os.getpid()} "
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1]
        except OSError:
            continue
        if f" {fields.split()[1]} " == own:
            found.add(int(stat.parent.name))
    return found
