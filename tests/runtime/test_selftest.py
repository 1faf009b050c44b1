"""The bundle's own test: what it compares, and what it takes for the same."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge.bundle.verify import open_bundle
from echo_edge.errors import BundleError
from echo_edge.selftest import SelfTest, read_clip, run_selftest, sqnr_db, trace
from echo_edge.session import Session, load

Array = NDArray[np.float32]


@pytest.mark.parametrize(
    ("reference", "measured", "expected"),
    [
        pytest.param([1.0, -1.0], [1.0, -1.0], 150.0, id="equal"),
        pytest.param([1.0, -1.0], [1.1, -1.1], 20.0, id="a tenth"),
        pytest.param([1.0, 0.0], [1.0, 0.01], 40.0, id="a hundredth"),
        pytest.param([1.0, -1.0], [0.0, 0.0], 0.0, id="nothing measured"),
        pytest.param([1.0, -1.0], [-1.0, 1.0], -6.0206, id="the opposite"),
        pytest.param([0.0, 0.0], [0.0, 0.0], 0.0, id="both silent"),
        pytest.param([0.0, 0.0], [1.0, 0.0], -200.0, id="should be silent"),
        pytest.param([1.0, -1.0], [1.0, np.nan], -150.0, id="NaN"),
        pytest.param([1.0, -1.0], [1.0, np.inf], -150.0, id="infinite"),
    ],
)
def test_sqnr(reference: list[float], measured: list[float], expected: float) -> None:
    found = sqnr_db(np.array(reference, np.float32), np.array(measured, np.float32))

    assert found == pytest.approx(expected, abs=0.01)


class TestOutcome:
    @pytest.mark.parametrize(
        ("found", "passed", "summary"),
        [
            pytest.param(
                {"asr": 30.0, "speaker": 21.0},
                True,
                "self-test passed: worst output speaker 21.0 dB, at least 20.0 dB",
                id="better",
            ),
            pytest.param(
                {"asr": 25.0, "speaker": 20.0},
                True,
                "self-test passed: worst output asr 25.0 dB, at least 25.0 dB",
                id="just",
            ),
            pytest.param(
                {"asr": 24.9, "speaker": 99.0},
                False,
                "self-test FAILED: worst output asr 24.9 dB, at least 25.0 dB",
                id="one is worse",
            ),
            pytest.param(
                {"asr": float("nan"), "speaker": 99.0}, False, "self-test FAILED: ", id="NaN"
            ),
        ],
    )
    def test_verdict(self, found: dict[str, float], passed: bool, summary: str) -> None:
        outcome = SelfTest(found, {"asr": 25.0, "speaker": 20.0})

        assert outcome.passed is passed
        assert outcome.summary().startswith(summary)


class TestTrace:
    @pytest.mark.parametrize(
        ("n_samples", "n_chunks"), [(16_000, 13), (16_640, 13), (1, 1), (24_960, 20)]
    )
    def test_shapes(self, null_bundle: Path, n_samples: int, n_chunks: int) -> None:
        """Chunks of 2 steps, windows of 8: the last chunk is padded, the last window left out."""
        with load(null_bundle) as session:
            found = trace(session, np.zeros(n_samples, np.float32))

        n_windows = 2 * n_chunks // 8
        assert found["latents"].shape == (2 * n_chunks, 16)
        assert found["features"].shape == (8 * n_chunks, 80)
        assert found["asr"].shape == (4 * n_chunks, 5)
        assert found["sources"].shape == (1520 * n_chunks, 3)
        assert {name: len(found[name]) for name in ("diarization", "speaker") if n_windows} == (
            {"diarization": 8 * n_windows, "speaker": n_windows} if n_windows else {}
        )
        assert ("diarization" in found) is (n_windows > 0)

    def test_what_the_graphs_say(self, fake_session: Session, spoken: Callable[..., Array]) -> None:
        pcm = spoken([(1.0, (1,), 2), (1.0, (2,), 3)])

        found = trace(fake_session, pcm)

        # The pretend transcriber is two steps late.
        assert found["asr"].argmax(1).tolist() == [0] * 4 + [2] * 50 + [3] * 46
        assert found["diarization"].argmax(1).tolist() == [1] * 50
        np.testing.assert_allclose(found["speaker"], np.eye(6)[1:3], atol=1e-5)
        np.testing.assert_allclose(found["latents"][:25, 0], pcm[0])


class TestRun:
    @pytest.mark.parametrize("name", ["null_bundle", "default_bundle"])
    def test_a_whole_bundle_passes(self, request: pytest.FixtureRequest, name: str) -> None:
        with load(request.getfixturevalue(name)) as session:
            outcome = run_selftest(session)

        assert outcome.passed, outcome.summary()
        assert {"latents", "asr", "diarization", "speaker", "sources"} <= set(outcome.least_db)

    def test_another_model_fails(self, default_bundle: Path) -> None:
        """Latents with one tenth of noise stand for a kernel that computes something else."""
        with load(default_bundle) as session:
            encoder = session.engines["encoder"]
            random = np.random.default_rng(0)

            class Noisy:
                def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
                    outputs = encoder.run(inputs)
                    for name in [name for name in outputs if name.startswith("latents")]:
                        value = outputs[name]
                        noise = random.standard_normal(value.shape).astype(np.float32)
                        outputs[name] = value + noise * value.std()
                    return outputs

                def close(self) -> None:
                    encoder.close()

            outcome = run_selftest(replace(session, engines=session.engines | {"encoder": Noisy()}))

        assert not outcome.passed
        assert "FAILED" in outcome.summary()

    def test_a_graph_that_says_nan_fails(
        self, null_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with load(null_bundle) as session:
            asr, spec = session.engines["asr"], session.bundle.manifest.graphs["asr"]
            outputs = asr.run({t.name: np.zeros(t.shape) for t in spec.inputs})
            outputs = {name: value * np.nan for name, value in outputs.items()}
            monkeypatch.setattr(asr, "run", lambda _inputs: dict(outputs))

            outcome = run_selftest(session)

        assert not outcome.passed
        assert "worst output asr -150.0 dB" in outcome.summary()

    def test_clip_is_what_the_file_holds(self, null_bundle: Path) -> None:
        clip = read_clip(open_bundle(null_bundle))

        expected = np.random.default_rng(0).integers(-3000, 3000, 16_000) / 32768
        np.testing.assert_array_equal(clip, expected.astype(np.float32))

    def test_a_bundle_without_one(self, tiny_bundle: Path, null_bundle: Path) -> None:
        with load(null_bundle) as session:
            bare = replace(session, bundle=open_bundle(tiny_bundle))

            with pytest.raises(BundleError, match=r"^tiny: holds no self-test: export it again$"):
                run_selftest(bare)

    def test_every_file_it_names_is_listed(self, default_bundle: Path) -> None:
        expected = json.loads((default_bundle / "selftest/expected.json").read_text())

        files = open_bundle(default_bundle).manifest.files
        assert {f"selftest/{entry['file']}" for entry in expected.values()} <= set(files)
