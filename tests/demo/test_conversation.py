"""The demonstration recording and its two references agree with each other and with the audio."""

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "demo"
STEPS_PER_S = 100

Turn = tuple[float, float, str]


def rttm_turns() -> list[Turn]:
    rows = [line.split() for line in (DEMO / "conversation.rttm").read_text().splitlines()]
    return [(float(row[3]), round(float(row[3]) + float(row[4]), 3), row[7]) for row in rows]


def json_turns() -> list[Turn]:
    reference = json.loads((DEMO / "conversation.json").read_text(encoding="utf-8"))
    return [(turn["start_s"], turn["end_s"], turn["speaker"]) for turn in reference["turns"]]


@pytest.fixture(scope="module")
def audio() -> NDArray[np.float32]:
    samples: NDArray[np.float32]
    samples, sample_rate = soundfile.read(DEMO / "conversation.flac", dtype="float32")
    assert (sample_rate, samples.ndim) == (16_000, 1)
    return samples


@pytest.fixture(scope="module")
def active(audio: NDArray[np.float32]) -> NDArray[np.int64]:
    """How many people speak in each 10 ms."""
    count = np.zeros(len(audio) // 160, dtype=np.int64)
    for start_s, end_s, _ in rttm_turns():
        count[round(start_s * STEPS_PER_S) : round(end_s * STEPS_PER_S)] += 1
    return count


def test_rttm_and_json_agree() -> None:
    assert json_turns() == rttm_turns()


def test_three_speakers_within_the_file(audio: NDArray[np.float32]) -> None:
    turns = rttm_turns()

    assert len({speaker for _, _, speaker in turns}) == 3
    assert all(0 <= start_s < end_s <= len(audio) / 16_000 for start_s, end_s, _ in turns)


def test_no_speaker_overlaps_itself() -> None:
    turns = rttm_turns()
    for name in {speaker for _, _, speaker in turns}:
        own = sorted(turn for turn in turns if turn[2] == name)
        assert all(before[1] <= after[0] for before, after in pairwise(own))


def test_a_little_of_the_speech_overlaps(active: NDArray[np.int64]) -> None:
    assert 0.03 <= np.mean(active[active > 0] > 1) <= 0.08


def test_energy_is_inside_the_turns(audio: NDArray[np.float32], active: NDArray[np.int64]) -> None:
    power = np.mean(audio[: len(active) * 160].reshape(-1, 160) ** 2, axis=1)

    assert power[active > 0].mean() >= 10**1.5 * power[active == 0].mean()


def test_peak_leaves_headroom(audio: NDArray[np.float32]) -> None:
    assert float(np.abs(audio).max()) == pytest.approx(10 ** (-3 / 20), abs=1e-3)


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not on PATH")
def test_the_script_makes_the_same_reference_again(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "demo.make_conversation", "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)

    for name in ("conversation.rttm", "conversation.json"):
        assert (tmp_path / name).read_text() == (DEMO / name).read_text()
