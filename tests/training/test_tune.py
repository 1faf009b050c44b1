"""The search for thresholds, on a little speech: heard once, decided at every point of the grid."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.training.simulation.test_pipeline import write_split
from training import tune
from training.simulation.mixtures import Mixture

SPEECH = Path(__file__).parents[2] / "demo/conversation.flac"


def _mixture() -> Mixture:
    pcm, _ = soundfile.read(SPEECH, frames=12 * 640 * 8, dtype="float32")
    return Mixture(pcm, np.stack([pcm] * 3), np.ones((1, 96), np.bool_), ("a",), (1,))


def test_every_point_is_printed_and_the_best_one_told(
    tmp_path: Path,
    default_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_split(tmp_path / "dev", ["a", "b", "c"], 0)
    monkeypatch.setattr(tune, "simulated", lambda *_, **__: [_mixture()])
    monkeypatch.setattr(tune, "dialogues", lambda *_: [(_mixture(), [])])
    monkeypatch.setattr(tune, "simulated_meetings", lambda *_, **__: iter(()))
    monkeypatch.setattr(tune, "GRID", {"active_threshold": (0.2,), "group_threshold": (0.38,)})
    command = ["--data", str(tmp_path), "--cache", str(tmp_path / "cache"), "--conversations", "1"]

    tune.main([*command, "--bundle", str(default_bundle), "--active-threshold", "0.999999", "0.5"])

    *rows, best = capsys.readouterr().out.splitlines()
    assert [row.split("  {")[1] for row in rows] == [
        "'active_threshold': 0.999999, 'group_threshold': 0.38}",
        "'active_threshold': 0.5, 'group_threshold': 0.38}",
    ]
    deaf, keen = ([float(cell) for cell in row.split("  {")[0].split()][::2] for row in rows)
    assert len(deaf) == len(keen) == 4  # conversations and dialogues, live and at the end
    assert deaf == [100.0] * 4  # all that should be heard is missed
    assert max(keen) < 100.0
    assert best.endswith("{'active_threshold': 0.5, 'group_threshold': 0.38}")
