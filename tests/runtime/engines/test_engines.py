"""One suite for every engine, and what is said when one is not there."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from echo_edge.bundle.manifest import GRAPH_NAMES, EngineSpec, GraphSpec
from echo_edge.bundle.verify import open_bundle
from echo_edge.engines import ENGINES, Engine, check_engine, engine_version, open_engine
from echo_edge.errors import EngineError
from echo_edge.session import load


@pytest.fixture(scope="session", params=sorted(ENGINES))
def engine_name(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    try:
        engine_version(name)
    except EngineError as error:
        pytest.skip(str(error))
    return name


@pytest.fixture(scope="session")
def small_bundle(engine_name: str, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The small Echo exported for engines that the package ships no bundle for."""
    if engine_name in ("null", "onnx"):
        return None
    pytest.importorskip("torch", reason="needs echo-edge[export]")
    from tests.small_echo import make_bundle

    return make_bundle(engine_name, tmp_path_factory.mktemp(engine_name) / "bundle")


@pytest.fixture
def bundle(
    engine_name: str, small_bundle: Path | None, default_bundle: Path, null_bundle: Path
) -> Path:
    """A bundle for the engine."""
    return small_bundle or (null_bundle if engine_name == "null" else default_bundle)


def _open(bundle: Path, graph: str, threads: int = 1) -> tuple[Engine, GraphSpec]:
    opened = open_bundle(bundle)
    spec = opened.manifest.graphs[graph]
    name = opened.manifest.engine.name
    return open_engine(name, opened.graph_path(graph), spec, threads), spec


def _inputs(spec: GraphSpec) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {t.name: 0.1 * random.random(t.shape, np.float32) for t in spec.inputs}


@pytest.mark.parametrize("graph", GRAPH_NAMES)
def test_outputs_are_as_promised(bundle: Path, graph: str) -> None:
    engine, spec = _open(bundle, graph)

    outputs = engine.run(_inputs(spec))

    assert {name: (value.shape, value.dtype) for name, value in outputs.items()} == {
        tensor.name: (tensor.shape, np.float32) for tensor in spec.outputs
    }
    assert all(np.isfinite(value).all() for value in outputs.values())


def test_running_again_gives_the_same_and_keeps_what_was_given(bundle: Path) -> None:
    engine, spec = _open(bundle, "frontend")
    inputs = _inputs(spec)
    before = {name: value.copy() for name, value in inputs.items()}

    first = engine.run(inputs)
    kept = {name: value.copy() for name, value in first.items()}
    engine.run({name: value * 2 for name, value in inputs.items()})
    again = engine.run(inputs)

    for name, value in kept.items():
        np.testing.assert_array_equal(first[name], value)
        np.testing.assert_array_equal(again[name], value)
    for name, value in before.items():
        np.testing.assert_array_equal(inputs[name], value)


@pytest.mark.parametrize("missing", ["latents", "asr_state"])
def test_missing_input(bundle: Path, missing: str) -> None:
    engine, spec = _open(bundle, "asr")
    inputs = _inputs(spec)
    del inputs[missing]

    with pytest.raises(EngineError, match=rf"^{spec.file}: \w+ failed: .*{missing}") as caught:
        engine.run(inputs)
    assert "\n" not in str(caught.value)


def test_closes_twice(bundle: Path) -> None:
    engine, _ = _open(bundle, "asr")

    assert [engine.close(), engine.close()] == [None, None]


def test_session_closes_its_engines_and_may_be_closed_again(bundle: Path) -> None:
    with load(bundle) as session:
        assert set(session.engines) == set(GRAPH_NAMES)
    assert session.close() is None


def test_version_is_a_number(engine_name: str) -> None:
    assert engine_version(engine_name).split(".")[0].isdigit()


class TestOnnx:
    def test_wrong_shape(self, default_bundle: Path) -> None:
        engine, spec = _open(default_bundle, "asr")
        inputs = _inputs(spec)
        inputs["latents"] = inputs["latents"][:, 1:]

        with pytest.raises(EngineError, match=r"^asr.onnx: onnxruntime failed: ") as caught:
            engine.run(inputs)
        assert "\n" not in str(caught.value)

    def test_run_after_close(self, default_bundle: Path) -> None:
        engine, spec = _open(default_bundle, "asr")
        engine.close()

        with pytest.raises(EngineError, match=r"^asr.onnx: "):
            engine.run(_inputs(spec))

    @pytest.mark.parametrize(
        "damage",
        [
            pytest.param(lambda _: b"", id="empty"),
            pytest.param(lambda _: b"no graph\n" * 100, id="text"),
            pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
            pytest.param(lambda data: b"\xff" * 64 + data[64:], id="damaged start"),
            pytest.param(lambda data: bytes(len(data)), id="zeros"),
        ],
    )
    def test_corrupted_file(self, default_bundle: Path, tmp_path: Path, damage: object) -> None:
        bundle = open_bundle(default_bundle)
        path = tmp_path / "asr.onnx"
        assert callable(damage)
        path.write_bytes(damage(bundle.graph_path("asr").read_bytes()))

        with pytest.raises(EngineError, match=r"^asr.onnx: onnxruntime cannot load it: ") as caught:
            open_engine("onnx", path, bundle.manifest.graphs["asr"], 1)
        assert "\n" not in str(caught.value)

    def test_missing_output(self, default_bundle: Path) -> None:
        bundle = open_bundle(default_bundle)
        spec = bundle.manifest.graphs["asr"]
        other = replace(spec, outputs=(replace(spec.outputs[0], name="words"),))
        engine = open_engine("onnx", bundle.graph_path("asr"), other, 1)

        with pytest.raises(EngineError, match=r"^asr.onnx: onnxruntime failed: .*words"):
            engine.run(_inputs(spec))

    def test_threads_do_not_change_the_answer(self, default_bundle: Path) -> None:
        (one, spec), (two, _) = (_open(default_bundle, "asr", threads) for threads in (1, 2))
        inputs = _inputs(spec)

        answers = [engine.run(inputs)["logprobs"] for engine in (one, two)]

        np.testing.assert_allclose(answers[0], answers[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["abacus", "ONNX", ""])
def test_unknown_engine(name: str, null_bundle: Path) -> None:
    spec = open_bundle(null_bundle).manifest.graphs["asr"]

    known = ", ".join(ENGINES)
    with pytest.raises(EngineError, match=rf"^engine {name}: .*it can: {known}"):
        open_engine(name, null_bundle / "asr.null", spec, 1)


def test_absent_library(default_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(EngineError) as caught:
        load(default_bundle)

    message = "engine onnx: onnxruntime is not installed here: pip install 'echo-edge[onnx]'"
    assert str(caught.value) == message


def test_library_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(ModuleType):
        @property
        def __version__(self) -> str:
            raise RuntimeError("illegal instruction")

    monkeypatch.setitem(sys.modules, "onnxruntime", Broken("onnxruntime"))

    with pytest.raises(EngineError, match="onnxruntime does not load here: illegal instruction"):
        engine_version("onnx")


@pytest.mark.parametrize(
    ("found", "minimum", "enough"),
    [
        pytest.param("1.23.2", "1.23.2", True, id="equal"),
        pytest.param("1.24.0", "1.23.2", True, id="newer"),
        pytest.param("2.0", "1.23.2", True, id="much newer"),
        pytest.param("1.23.10", "1.23.9", True, id="numbers, not text"),
        pytest.param("1.24.0.dev1+cpu", "1.24", True, id="a development build"),
        pytest.param("1.23.1", "1.23.2", False, id="older"),
        pytest.param("1.23", "1.23.2", False, id="shorter"),
        pytest.param("0.9", "1", False, id="much older"),
    ],
)
def test_least_version(
    monkeypatch: pytest.MonkeyPatch, found: str, minimum: str, enough: bool
) -> None:
    monkeypatch.setattr("numpy.__version__", found)
    spec = EngineSpec("null", minimum)

    if enough:
        assert check_engine(spec) is None
        return
    message = f"engine null: found numpy {found}, expected at least {minimum} for this bundle: "
    with pytest.raises(EngineError, match=f"^{re.escape(message)}pip install -U numpy$"):
        check_engine(spec)


def test_bundle_for_a_newer_engine_is_not_loaded(null_bundle: Path) -> None:
    path = null_bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["engine"]["minimum_version"] = "99"
    path.write_text(json.dumps(manifest))

    with pytest.raises(EngineError, match="expected at least 99 for this bundle"):
        load(null_bundle)
