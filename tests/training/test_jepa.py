"""Latent prediction end to end with a small model and a pretend teacher."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from echo_edge_export.checkpoint import Checkpoint, load_checkpoint
from echo_edge_export.convert.table import find_exporter
from echo_edge_export.quantize.calibrate import calibrate
from echo_edge_export.quantize.recipes import RECIPES
from echo_edge_export.write_bundle import BundlePlan, write_bundle
from tests.small_echo import make_noise
from tests.training.fake_teacher import FakeStore, FakeTeacher, FakeVoices
from tests.training.simulation.test_pipeline import aligned, write_split
from tests.training.test_joint import SMALL
from training import jepa, joint
from training.corpora.data import Corpus, load_splits
from training.scoring import latents
from training.simulation.batches import Batches, BatchSpec, Teachers
from training.simulation.windows import Windows
from training.stages import command, stage, takeover

Figures = dict[str, float]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    names = [f"s{i}" for i in range(6)]
    write_split(root / "train", names, 0)
    write_split(root / "dev", [f"d{i}" for i in range(4)], 1)
    return root


@pytest.fixture(scope="module")
def corpus(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return load_splits(data, tmp_path_factory.mktemp("cache"))[0]


@pytest.fixture
def trained(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `training.jepa` or `training.joint` with these options; the figures of every step."""
    corpus, _ = load_splits(data, tmp_path / "cache")
    for module in (jepa, joint):
        monkeypatch.setattr(module, "EchoConfig", lambda **_: SMALL)
        monkeypatch.setattr(module, "set_statistics", lambda model, _: model.frontend.std.fill_(5))
    monkeypatch.setattr(command, "default_rooms", lambda _: None)
    monkeypatch.setattr(command, "load_alignment", lambda _: aligned(corpus))
    monkeypatch.setattr(
        command, "_latents", lambda path, split: path and FakeStore(split, SMALL.d_model)
    )
    monkeypatch.setattr(
        command, "_voices",
        lambda path, split: path and FakeVoices(split, SMALL.d_model, SMALL.embedding_dim, n=4),
    )  # fmt: skip
    monkeypatch.setattr(jepa, "read_teacher", lambda _: FakeTeacher(SMALL, 1))
    monkeypatch.setattr(jepa, "SCORE_WINDOWS", 1)
    monkeypatch.setattr(latents, "WINDOWS", 16)
    monkeypatch.setattr(takeover, "STEM_ITEMS", 2)
    monkeypatch.setattr(takeover, "STEM_SAMPLES", 32_000)
    monkeypatch.setattr(takeover.fit_stem, "__defaults__", (6,))

    def run(main: Any, *options: object, stop: int | None = None) -> list[Figures]:
        seen: list[Figures] = []
        losses = stage.step_losses

        def spy(*arguments: Any) -> tuple[dict[str, Tensor], Figures]:
            if len(seen) == stop:
                raise KeyboardInterrupt
            each, figures = losses(*arguments)
            seen.append(figures)
            return each, figures

        monkeypatch.setattr(stage, "step_losses", spy)
        fixed = ["--data", data, "--cache", tmp_path / "cache", "--save-every", 2, "--peak", 3e-3]
        fixed += ["--read-items", 1, "--windows", 1, "--latents", "x", "--dev-latents", "x"]
        fixed += ["--voices", "x", "--crops", 6]
        try:
            main([str(word) for word in (*fixed, *options)])
        except KeyboardInterrupt:
            assert stop is not None
        finally:
            monkeypatch.setattr(stage, "step_losses", losses)
        return seen

    return run


def test_latents_are_learned_and_the_checkpoint_exports(
    trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--teacher", "x", "--steps", 30, "--look-every", 15, "--read-only", 5, "--fade", 5]

    seen = trained(jepa.main, "--out", tmp_path / "run", *options)

    assert "stem 6/6  relative error" in capsys.readouterr().out
    first, last = seen[:5], seen[-10:]
    assert np.mean([r["latents"] for r in last]) < 0.8 * np.mean([r["latents"] for r in first])
    assert np.mean([r["near"] for r in last]) < 0.9 * np.mean([r["near"] for r in first])
    looks = (tmp_path / "run" / "look.csv").read_text().splitlines()
    columns = looks[0].split(",")
    assert len(looks) == 3
    assert {"dev_cos", "eer", "norm_latents", "norm_near", "norm_words"} <= set(columns)
    assert float(looks[2].split(",")[columns.index("dev_cos")]) > 0.3
    model = load_checkpoint(tmp_path / "run" / "model.safetensors").model
    noise = np.tile(make_noise(), 3)  # a whole window of the diarization
    smoothed, calibration = calibrate(model, [noise], 12)
    recipe = RECIPES[find_exporter("onnx").recipe]
    plan = BundlePlan("onnx", recipe, 12, tmp_path / "bundle", score=False)
    write_bundle(Checkpoint(smoothed, 30, calibration, "0" * 64), plan, noise)
    assert (tmp_path / "bundle" / "manifest.json").is_file()


@pytest.mark.parametrize("main", [jepa.main, joint.main], ids=["jepa", "joint"])
def test_a_stopped_run_goes_on_exactly(main: Any, trained: Any, tmp_path: Path) -> None:
    start = tmp_path / "start" / "model.safetensors"
    trained(jepa.main, "--out", start.parent, "--teacher", "x", "--steps", 2)
    options = ["--start", start, "--steps", 6, "--fade", 4]

    whole = trained(main, "--out", tmp_path / "whole", *options)
    before = trained(main, "--out", tmp_path / "parts", *options, stop=4)
    after = trained(main, "--out", tmp_path / "parts", *options)

    assert (len(before), len(after)) == (4, 2)
    for row, same in zip([*before, *after], whole, strict=True):
        assert row == pytest.approx(same, rel=1e-6)
    one, other = (torch.load(tmp_path / n / "state.pt") for n in ("whole", "parts"))
    for part in ("model", "predictor", "arcface"):
        for name, value in one[part].items():
            torch.testing.assert_close(other[part][name], value, rtol=1e-6, atol=1e-7)
    assert one["average"]["n_steps"] == other["average"]["n_steps"] == 6


def test_the_joint_training_keeps_the_anchor(trained: Any, tmp_path: Path) -> None:
    trained(jepa.main, "--out", tmp_path / "first", "--teacher", "x", "--steps", 2)
    start = tmp_path / "first" / "model.safetensors"

    seen = trained(joint.main, "--out", tmp_path / "second", "--steps", 2, "--start", start)

    assert {"latents", "near", "cos", "ctc", "aam", "likeness", "diar", "snr"} <= set(seen[0])
    assert {"crop_aam", "crop_likeness", "crop_frames"} <= set(seen[0])
    assert all(np.isfinite(value) for row in seen for value in row.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--latents: found none"),
        (["--latents", "x"], "--teacher, --start: expected one of them"),
        (["--latents", "x", "--teacher", "x", "--start", "x"], "expected one of them"),
    ],
)
def test_wrong_options(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        jepa.main(["--data", "x", *options])
    assert message in capsys.readouterr().err


def test_readings_bring_the_latents_of_what_is_heard(corpus: Corpus) -> None:
    store = FakeStore(corpus)
    spec = BatchSpec(4, (4.0, 9.0), conversations=0, windows=2, window_s=2.0, other_speeds=0.0)
    batches = Batches(
        corpus, None, spec, 0, aligned(corpus), easy_start=False, teachers=Teachers(store)
    )

    batch = batches[3]

    assert batch.latents.shape == (*batch.latents_valid.shape, store.d)
    assert batch.latents_valid.any(1).all()
    speech = batch.active.repeat_interleave(2, 1) > 0
    loud = batch.latents[..., 0].float() * store.directions[0] > 0
    assert batch.latents_valid[speech].float().mean() > 0.9
    assert (loud == speech)[batch.latents_valid].float().mean() > 0.95
    assert batch.windows_valid.any(1).all()
    assert batch.mixture.shape[0] == batch.sources.shape[0] == 0
    again = batches[3]
    torch.testing.assert_close(again.latents, batch.latents, rtol=0, atol=0)
    torch.testing.assert_close(again.windows, batch.windows, rtol=0, atol=0)


def test_speech_at_another_speed_has_no_latents(corpus: Corpus) -> None:
    spec = BatchSpec(6, (4.0, 5.0), conversations=1, other_speeds=1.0)
    teachers = Teachers(FakeStore(corpus), FakeVoices(corpus, 8, 4))
    batch = Batches(corpus, None, spec, 0, aligned(corpus), easy_start=False, teachers=teachers)[1]

    assert not batch.latents_valid.any()
    assert not batch.voiceprints.any()


def test_windows_are_of_the_speech_whose_latents_they_bring(corpus: Corpus) -> None:
    store = FakeStore(corpus)
    windows = Windows(store, None)

    for seed in range(6):
        clean = windows.clean(96_000, np.random.default_rng(seed))
        heard = windows.draw(96_000, np.random.default_rng(seed))
        np.testing.assert_array_equal(
            store._latents(clean.pcm)[clean.valid], clean.latents[clean.valid]
        )
        np.testing.assert_array_equal(heard.latents, clean.latents)
        assert not clean.latents[~clean.valid].any()
        assert np.abs(heard.pcm).max() <= 1.0


def test_at_times_nobody_speaks(corpus: Corpus) -> None:
    spec = BatchSpec(3, (4.0, 5.0), conversations=2)
    batches = Batches(corpus, None, spec, 0, aligned(corpus), easy_start=False)
    drawn = [batches.readings.draw(4.0, 1.0, np.random.default_rng(i)) for i in range(80)]

    silent = [reading for reading in drawn if not reading.text]
    assert 1 <= len(silent) < 12
    for reading in silent:
        assert not reading.clean.any()
        assert not reading.phones.any()
        assert reading.pcm.any()
    found = [batch for batch in (batches[step] for step in range(12)) if len(batch.sources) == 1]
    assert found
    assert all((batch.mixture_voices[1] == -1).all() for batch in found)
    assert all(batch.mixture[1].any() for batch in found)
