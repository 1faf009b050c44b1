"""What is done to audio before it is heard, part by part: level, rumble, channels, range."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from echo_edge.audio import Reading, read_blocks
from echo_edge.audio.channels import Downmix, parse_channel
from echo_edge.audio.condition import Conditioner
from echo_edge.audio.level import MAX_GAIN, Level
from echo_edge.audio.rumble import CUTOFF_HZ, ORDER, HighPass
from echo_edge.engines.stateful import GraphStream
from echo_edge.errors import UsageError
from echo_edge.frontend import Frontend
from tests.runtime.signals import FITS_16_BITS, SIGNALS, rumble, signal, speech

Array = NDArray[np.float32]
CHUNK, STEP = 7680, 640


@pytest.fixture
def noise() -> Array:
    """Three seconds of it, at the level of speech."""
    return np.random.default_rng(0).normal(0.0, 0.1, 48_000).astype(np.float32)


def chunks(pcm: Array) -> Iterator[tuple[Array, int]]:
    """The chunks that a stream makes of it, the last one padded."""
    for start in range(0, len(pcm), CHUNK):
        part = pcm[start : start + CHUNK]
        yield np.pad(part, (0, CHUNK - len(part))), len(part)


def conditioned(pcm: Array) -> tuple[Array, list[int], str]:
    """What the frontend hears, the gains, and what is said."""
    conditioner = Conditioner(STEP)
    heard, gains = zip(*(conditioner.push(*each) for each in chunks(pcm)), strict=True)
    return np.concatenate(heard)[: len(pcm)], list(gains), conditioner.finding()


@pytest.mark.parametrize("name", ["nominal", "12 dB quieter", "offset of 5 %", "clipped"])
def test_what_needs_neither_gain_nor_filter_passes_bit_for_bit(
    name: str, default_bundle: Path
) -> None:
    pcm = signal(name, default_bundle)

    heard, gains, _ = conditioned(pcm)

    assert not any(gains)
    assert heard.tobytes() == pcm.tobytes()


@pytest.mark.parametrize("peak_db", [-26, -20, -10, -1, 3])
def test_every_level_of_training_is_nominal(peak_db: float, default_bundle: Path) -> None:
    pcm = speech(default_bundle)

    heard, gains, found = conditioned(pcm / np.abs(pcm).max() * 10 ** (peak_db / 20))

    assert (set(gains), found) == ({0}, "")
    assert np.abs(heard).max() == pytest.approx(10 ** (peak_db / 20), rel=1e-3)


@pytest.mark.parametrize("gain_db", [-55, -48, -40, 20, 30, 90.3, 138.5])
def test_speech_comes_to_the_level_of_training(gain_db: float, default_bundle: Path) -> None:
    pcm = speech(default_bundle)

    heard, gains, _ = conditioned((pcm * 10 ** (gain_db / 20)).astype(np.float32))

    assert len(set(gains[4:])) <= 2
    peak_db = 20 * math.log10(float(np.abs(heard[4 * CHUNK :]).max()))
    assert -26 < peak_db < 6


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0], ids=["white", "pink", "brown"])
@pytest.mark.parametrize("level_db", [-80, -70, -60, -50])
def test_noise_of_an_empty_room_stays_as_quiet_as_it_is(level_db: float, slope: float) -> None:
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal(60 * 16_000))
    spectrum /= np.maximum(np.arange(len(spectrum)) / 60, 90.0) ** slope
    noise = np.fft.irfft(spectrum)
    noise *= np.interp(np.arange(len(noise)) / 16_000, np.arange(61), rng.uniform(0.5, 1.5, 61))
    noise *= 10 ** (level_db / 20) / np.sqrt(np.mean(noise**2))

    for bits in (noise, np.rint(noise * 32768) / 32768):
        assert set(conditioned(bits.astype(np.float32))[1]) == {0}


def test_the_gain_is_bounded(default_bundle: Path) -> None:
    _, gains, _ = conditioned(signal("nominal", default_bundle) * np.float32(1e-3))

    assert max(gains) <= MAX_GAIN


def test_a_click_turns_a_quiet_recording_down_for_its_own_chunk_only(default_bundle: Path) -> None:
    pcm = signal("-55 dB", default_bundle)
    pcm[20 * CHUNK + 100] = 0.9

    _, gains, _ = conditioned(pcm)

    assert gains[20] == 0
    assert gains[19] == gains[21] == 7


def test_who_moves_away_is_turned_up_and_who_comes_back_is_not_distorted(
    default_bundle: Path,
) -> None:
    near = speech(default_bundle)
    far = near * np.float32(0.003)

    heard, gains, _ = conditioned(np.concatenate([near, far, far, near]))

    third = len(near) // CHUNK
    assert set(gains[:third]) == {0}
    assert gains[3 * third - 1] == 6
    assert set(gains[3 * third + 3 :]) == {0}
    assert np.abs(heard).max() < 2


def test_level_is_of_what_is_above_the_noise() -> None:
    level = Level()
    quiet = np.tile(np.float32([1, -1]) * 1e-3, STEP // 2)
    pause = quiet / np.float32(20)

    gains = [level.push(np.tile(np.concatenate([quiet, pause]), 6), STEP) for _ in range(8)]

    # 2^-10 <= 1e-3, and 25 blocks above the noise are there in the fifth chunk of six.
    assert gains == [0, 0, 0, 0, 6, 6, 6, 6]


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_the_filter_is_scipys(offset: float, noise: Array) -> None:
    signal = pytest.importorskip("scipy.signal", reason="needs echo-edge[metrics]")
    pcm = noise[: 3 * CHUNK] + np.float32(offset)
    sections = signal.butter(ORDER, CUTOFF_HZ, "high", fs=16_000, output="sos")
    settled = signal.sosfilt_zi(sections) * float(pcm[0])
    golden, _ = signal.sosfilt(sections, pcm.astype(np.float64), zi=settled)

    for sizes in ((CHUNK, 2 * CHUNK), (640, 3 * CHUNK - 640), (130, 3 * CHUNK - 130)):
        high_pass, parts = HighPass(), np.split(pcm, np.cumsum(sizes)[:-1])
        found = np.concatenate([high_pass.push(part) for part in parts])
        np.testing.assert_allclose(found, golden, atol=1e-9)


def test_rumble_is_taken_away_from_the_first_chunk_on(default_bundle: Path) -> None:
    pcm = speech(default_bundle) * np.float32(0.3)
    noise = rumble(len(pcm), -6)

    heard, _, found = conditioned(pcm + noise)

    assert found == "rumble below 80 Hz (filtered out)"
    spectrum, before = (np.abs(np.fft.rfft(each)) for each in (heard, pcm + noise))
    hertz = np.fft.rfftfreq(len(pcm), 1 / 16_000)
    low, voices = (hertz > 30) & (hertz < 50), hertz > 120
    assert np.linalg.norm(spectrum[low]) < 0.05 * np.linalg.norm(before[low])
    assert np.linalg.norm(spectrum[voices]) == pytest.approx(
        np.linalg.norm(before[voices]), rel=0.01
    )


def test_rumble_that_ends_leaves_the_very_samples(default_bundle: Path) -> None:
    pcm = speech(default_bundle)
    noisy = pcm.copy()
    noisy[: 4 * CHUNK] += rumble(4 * CHUNK, -12)

    heard, _, _ = conditioned(noisy)

    last = len(pcm) - 4 * CHUNK
    assert heard[last:].tobytes() == pcm[last:].tobytes()
    assert heard[:CHUNK].tobytes() != noisy[:CHUNK].tobytes()


@pytest.mark.parametrize("name", FITS_16_BITS)
def test_what_is_said_of_16_bits(name: str, default_bundle: Path) -> None:
    pcm = np.clip(np.rint(signal(name, default_bundle) * 32768), -32768, 32767) / 32768

    found = conditioned(pcm.astype(np.float32))[2]

    assert re.search(SIGNALS[name][1] or "^$", found)


@pytest.mark.parametrize(
    ("pcm", "said"),
    [
        (np.zeros(20 * CHUNK, np.float32), "nothing but zeros: is the microphone muted"),
        (np.tile(np.float32([1e-4, -1e-4]), 10 * CHUNK), "nothing louder than -80 dBFS"),
        (np.zeros(0, np.float32), ""),
    ],
    ids=["zeros", "too quiet", "nothing"],
)
def test_what_is_said_of_silence(pcm: Array, said: str) -> None:
    conditioner = Conditioner(STEP)
    for each in chunks(pcm):
        conditioner.push(*each)

    assert conditioner.finding().startswith(said)
    assert bool(conditioner.finding()) == bool(said)


class Echo:
    """A frontend whose spectrum is its input, and whose state is the end of it."""

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        joined = np.concatenate([inputs["pcm_state"], inputs["pcm"]], axis=1)
        return {"features": joined, "spectrum": joined, "pcm_state_next": joined[:, -240:]}


@pytest.mark.parametrize("name", ["-55 dB", "+20 dB", "x 32768"])
def test_the_spectrum_has_the_level_of_the_input(name: str, default_bundle: Path) -> None:
    """Bit for bit, at every change of the gain too: separated voices are as loud as they were."""
    from echo_edge.bundle.manifest import GraphSpec, TensorSpec

    pcm = signal(name, default_bundle)
    inputs = (
        TensorSpec("pcm", (1, CHUNK), "float32"),
        TensorSpec("pcm_state", (1, 240), "float32"),
    )
    spec = GraphSpec("frontend", inputs, (), {"pcm_state": "pcm_state_next"})
    frontend, factors = Frontend(GraphStream(Echo(), spec), STEP), set()  # type: ignore[arg-type]
    padded = np.concatenate([np.zeros(240, np.float32), pcm])
    for start, (chunk, n_samples) in zip(range(0, len(pcm), CHUNK), chunks(pcm), strict=True):
        features, spectrum = frontend.push(chunk, n_samples)
        factors.add(float(frontend.factor))
        n_there = 240 + n_samples
        assert spectrum[0, :n_there].tobytes() == padded[start : start + n_there].tobytes()
        assert features.tobytes() == (spectrum * frontend.factor).tobytes()

    assert len(factors) > 1


def stereo(*channels: Array) -> Array:
    return np.column_stack(channels).astype(np.float32)


def mixed(frames: Array, channel: str = "auto", sizes: tuple[int, ...] = (4096,)) -> Array:
    """Of frames at 16 kHz that come in pieces of these sizes."""
    downmix, parts = Downmix(channel), []
    while len(frames):
        for size in sizes:
            parts.append(downmix.push(frames[:size], 16_000))
            frames = frames[size:]
    return np.concatenate(parts)


def test_channels_that_agree_are_their_mean_bit_for_bit(noise: Array) -> None:
    other = np.roll(noise, 7) * np.float32(0.5)
    for frames in (stereo(noise, noise), stereo(noise, other), stereo(noise, 0 * noise)):
        assert mixed(frames).tobytes() == frames.mean(axis=1, dtype=np.float32).tobytes()
    eight = stereo(noise, *[0 * noise] * 7)
    assert mixed(eight).tobytes() == eight.mean(axis=1, dtype=np.float32).tobytes()


@pytest.mark.parametrize("share", [1.0, 0.9, 0.7])
def test_channels_out_of_phase_are_the_loudest(share: float, noise: Array) -> None:
    frames = stereo(noise, -np.float32(share) * noise)
    settled = 1600

    assert mixed(frames)[settled:].tobytes() == noise[settled:].tobytes()


def test_the_mean_comes_back_where_channels_agree_again(noise: Array) -> None:
    frames = np.concatenate([stereo(noise, -noise), stereo(noise, noise), stereo(noise, noise)])

    tail = mixed(frames)[-16_000:]

    assert tail.tobytes() == frames[-16_000:].mean(axis=1, dtype=np.float32).tobytes()


@pytest.mark.parametrize("channel", ["auto", "mix", "loudest", "1", "2"])
def test_pieces_do_not_matter(channel: str, noise: Array) -> None:
    loud = np.where(np.arange(len(noise)) < len(noise) // 2, 1.0, 0.1) * noise
    frames = np.concatenate([stereo(loud, -loud), stereo(loud, 0.3 * noise)])

    whole = mixed(frames, channel, (len(frames),))

    for sizes in ((4096,), (1,) * 50 + (1599,), (100_000,), (1600,)):
        assert mixed(frames, channel, sizes).tobytes() == whole.tobytes()


def test_a_channel_of_its_own(noise: Array) -> None:
    """A dead one and a reference that is louder than speech, beside the microphone."""
    reference = np.sin(np.arange(len(noise)) / 5).astype(np.float32)
    frames = stereo(0 * noise, 0.1 * noise, reference)

    assert mixed(frames, "2").tobytes() == frames[:, 1].tobytes()
    assert mixed(frames, "loudest")[1600:].tobytes() == reference[1600:].tobytes()
    assert mixed(frames, "mix").tobytes() == frames.mean(axis=1, dtype=np.float32).tobytes()


def test_the_loudest_is_not_the_one_with_an_offset(noise: Array) -> None:
    frames = stereo(0.1 * noise, 0 * noise + 0.5)

    assert mixed(frames, "loudest")[1600:].tobytes() == frames[1600:, 0].tobytes()


@pytest.mark.parametrize("text", ["0", "-1", "two", "", "1.5", "٢"])
def test_what_is_no_channel(text: str) -> None:
    with pytest.raises(UsageError, match=r"--channel: found .*, expected a number from 1, mix or"):
        parse_channel(text)


def test_a_channel_that_is_not_there(noise: Array, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, stereo(noise, noise), 16_000)

    with pytest.raises(UsageError, match=r"--channel: found 3, expected 1 to 2: .*a\.wav has no"):
        next(read_blocks(path, reading=Reading("3")))


@pytest.mark.parametrize(
    ("factor", "divisor", "said"),
    [
        (1.0, 1, ""),
        (1.4, 1, ""),
        (10.0, 16, "samples up to 10 times full scale"),
        (20.0, 2**15, "samples of the range of 16-bit integers (divided by 2^15)"),
        (30_000.0, 2**15, "samples of the range of 16-bit integers (divided by 2^15)"),
        (8_000_000.0, 2**23, "samples of the range of 24-bit integers (divided by 2^23)"),
        (2_000_000_000.0, 2**31, "samples of the range of 32-bit integers (divided by 2^31)"),
    ],
)
@pytest.mark.parametrize(
    ("form", "subtype"), [("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("CAF", "FLOAT")]
)
def test_floating_point_of_any_range(
    form: str, subtype: str, factor: float, divisor: int, said: str, noise: Array, tmp_path: Path
) -> None:
    """Also where a recording begins with silence of its own range."""
    pcm = np.concatenate([noise[:8000] * np.float32(1e-4), noise / np.abs(noise).max()]) * factor
    pcm = pcm.astype(np.float32)
    path = tmp_path / f"a.{form.lower()}"
    soundfile.write(path, pcm, 16_000, subtype, format=form)
    reading = Reading()

    found = np.concatenate(list(read_blocks(path, reading=reading)))

    assert reading.finding == said
    assert found.tobytes() == (pcm / np.float32(divisor)).tobytes()
