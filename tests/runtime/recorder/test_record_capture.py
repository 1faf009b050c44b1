"""From a source to 16 kHz samples: nothing is lost unnoticed, nothing is changed unasked."""

import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_edge.errors import AudioError
from echo_edge.recorder.capture import Block, BlockQueue, Converter, FileInput, PcmInput
from echo_edge.recorder.microphone import LossMeter
from echo_edge.recorder.segments import SegmentWriter, segments
from echo_edge.recorder.writer import Writer

Array = NDArray[np.float32]


def _block(n_frames: int, rate: int = 16000, gap_s: float = 0.0, value: float = 0.0) -> Block:
    return Block(np.full((n_frames, 1), value, np.float32), rate, gap_s)


def test_blocks_come_out_as_they_went_in() -> None:
    queue = BlockQueue()
    blocks = [_block(100), _block(200, 48000), _block(300, gap_s=1.5)]
    for block in blocks:
        queue.put(block)

    out = [queue.get(0.0) for _ in blocks]

    assert [(len(b.frames), b.rate, b.gap_s) for b in out if b] == [
        (100, 16000, 0.0),
        (200, 48000, 0.0),
        (300, 16000, 1.5),
    ]
    assert queue.get(0.0) is None
    assert queue.queued_s == pytest.approx(0.0)


def test_what_does_not_fit_is_a_gap_and_is_counted() -> None:
    queue = BlockQueue(max_s=1.0)
    for _ in range(15):
        queue.put(_block(1600))
    while queue.get(0.0) is not None:
        pass
    queue.put(_block(1600))

    after = queue.get(0.0)

    assert after is not None
    assert (after.gap_s, queue.lost_s) == (pytest.approx(0.5), pytest.approx(0.5))


def test_a_file_waits_for_room() -> None:
    queue = BlockQueue(max_s=0.5)
    source = threading.Thread(
        target=lambda: [queue.put(_block(1600), wait=True) for _ in range(20)], daemon=True
    )
    source.start()
    n_blocks = 0
    while n_blocks < 20 and (queue.get(5.0)) is not None:
        n_blocks += 1

    source.join(5.0)
    assert (n_blocks, queue.lost_s) == (20, 0.0)


def test_a_pause_is_a_gap_and_not_a_loss() -> None:
    queue = BlockQueue()
    queue.put(_block(1600))
    queue.paused = True
    for _ in range(30):
        queue.put(_block(1600))
    queue.paused = False
    queue.put(_block(1600))

    gaps = [block.gap_s for _ in range(2) if (block := queue.get(0.0))]

    assert gaps == [0.0, pytest.approx(3.0)]
    assert queue.lost_s == 0.0


def test_sixteen_bits_stay_sixteen_bits() -> None:
    samples = np.arange(-32768, 32768).astype(np.int16)
    frames = (samples.astype(np.float32) / np.float32(32768))[:, None]

    assert Converter().convert(Block(frames, 16000)).tolist() == samples.tolist()


def test_too_loud_is_clipped_and_broken_is_silent() -> None:
    frames = np.array([[2.0], [-2.0], [np.nan], [np.inf], [-np.inf]], np.float32)

    assert Converter().convert(Block(frames, 16000)).tolist() == [32767, -32768, 0, 32767, -32768]


@pytest.mark.parametrize("rate", [8000, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channel_count(rate: int, channels: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    frames = np.repeat(tone[:, None], channels, 1).astype(np.float32)
    converter = Converter()
    first = converter.finish(rate)

    pieces = [converter.convert(Block(part, rate)) for part in np.array_split(frames, 7)]
    out = np.concatenate([first, *pieces, converter.finish()]).astype(np.float64) / 32768

    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert len(out) == 16000
    assert np.abs(out - expected)[800:-800].max() < 1e-3


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=8), st.sampled_from([16000, 44100]))
def test_blocks_of_any_size_make_the_same_samples(sizes: list[int], rate: int) -> None:
    audio = np.random.default_rng(0).uniform(-1, 1, (sum(sizes), 2)).astype(np.float32)

    def converted(parts: list[Array]) -> list[int]:
        converter = Converter()
        converter.finish(rate)
        out = [converter.convert(Block(part, rate)) for part in parts] + [converter.finish()]
        return np.concatenate(out).tolist()

    assert converted(np.split(audio, np.cumsum(sizes)[:-1])) == converted([audio])


class Still:
    """Storage that stays where it is."""

    def is_there(self) -> bool:
        return True

    def reopen(self, segments: SegmentWriter) -> SegmentWriter:
        return segments


def _written(folder: Path, blocks: list[Block]) -> list[tuple[int, int]]:
    """Places and lengths of the segments that a writer makes of these blocks."""
    queue = BlockQueue()
    writer = Writer(queue, SegmentWriter(folder, 10**9), Still())
    writer.thread.start()
    for block in blocks:
        queue.put(block)
    queue.close()
    writer.thread.join(10.0)
    assert writer.error is None
    return [(segment.start, segment.n_samples) for segment in segments(folder)]


def test_a_short_gap_is_silence_and_a_long_one_is_left_out(tmp_path: Path) -> None:
    blocks = [_block(1600, value=0.5), _block(1600, gap_s=0.5), _block(1600, gap_s=10.0)]

    assert _written(tmp_path, blocks) == [(0, 1600 + 8000 + 1600), (171200, 1600)]


def test_a_device_that_comes_back_with_another_rate(tmp_path: Path) -> None:
    blocks = [_block(4800, 48000), _block(4800, 48000), _block(4410, 44100, gap_s=4.0)]

    assert _written(tmp_path, blocks) == [(0, 3200), (67200, 1600)]


def test_pcm_of_any_length() -> None:
    queue, pcm = BlockQueue(), np.arange(4321).astype("<i2")

    PcmInput(io.BytesIO(pcm.tobytes())).run(queue, threading.Event())

    blocks = []
    while (block := queue.get(0.0)) is not None:
        blocks.append(Converter().convert(block))
    assert np.concatenate(blocks).tolist() == pcm.tolist()


def test_a_file_takes_its_time(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 16000)
    queue = BlockQueue()
    started = time.monotonic()

    FileInput(str(tmp_path / "a.wav")).run(queue, threading.Event())

    assert time.monotonic() - started >= 0.5
    assert queue.queued_s == pytest.approx(0.5)


def test_no_audio_file(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="cannot be read"):
        FileInput(str(tmp_path / "no.wav"))


def _arrivals(n_blocks: int, rate_error: float = 0.0) -> list[float]:
    """When blocks of 50 ms come: late by up to 30 ms, from a clock that is not quite ours."""
    late = np.random.default_rng(1).uniform(0, 0.03, n_blocks)
    return [0.05 * (n + 1) * (1 + rate_error) + late[n] for n in range(n_blocks)]


@pytest.mark.parametrize("rate_error", [-2e-4, 0.0, 2e-4])
def test_a_clock_that_drifts_loses_nothing(rate_error: float) -> None:
    meter = LossMeter(16000)

    assert sum(meter.add(at, 800) for at in _arrivals(72_000, rate_error)) == 0.0


def test_late_blocks_are_not_lost_ones() -> None:
    meter, arrivals = LossMeter(16000), _arrivals(400)
    arrivals[100:180] = [max(at, arrivals[180]) for at in arrivals[100:180]]

    assert sum(meter.add(at, 800) for at in arrivals) == 0.0


@pytest.mark.parametrize("n_lost", [2, 20, 200])
def test_missing_blocks_are_found(n_lost: int) -> None:
    meter, arrivals = LossMeter(16000), _arrivals(1000)
    del arrivals[300 : 300 + n_lost]

    lost_s = sum(meter.add(at, 800) for at in arrivals)

    assert lost_s == pytest.approx(0.05 * n_lost, abs=0.03)
