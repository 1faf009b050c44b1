"""How the graphs of a bundle are opened: ONNX Runtime's side by side, the others' one by one."""

from dataclasses import replace
from pathlib import Path
from threading import Barrier, get_ident
from types import SimpleNamespace
from typing import Any

import pytest

from echo_edge.bundle.manifest import EngineSpec, GraphSpec
from echo_edge.bundle.verify import Bundle, open_bundle
from echo_edge.engines import onnx
from echo_edge.engines.null import NullEngine
from echo_edge.errors import EngineError
from echo_edge.session import load_bundle

TIMEOUT_S = 20.0


def bundle_for(engine: str, folder: Path) -> Bundle:
    """The null bundle as if its graphs were another engine's; what that needs is there."""
    bundle = open_bundle(folder)
    spec = EngineSpec(engine, "0")
    return replace(bundle, manifest=replace(bundle.manifest, engine=spec))


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echo_edge.session.check_engine", lambda _: None)


def test_two_graphs_of_onnx_load_at_a_time(
    null_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Barrier(2)

    def opened(_: str, __: Path, spec: GraphSpec, ___: int) -> NullEngine:
        both.wait(TIMEOUT_S)
        return NullEngine(spec)

    monkeypatch.setattr("echo_edge.session.open_engine", opened)
    with load_bundle(bundle_for("onnx", null_bundle)) as session:
        assert list(session.engines) == list(session.bundle.manifest.graphs)


@pytest.mark.parametrize("engine", ["tflite", "executorch", "null"])
def test_graphs_of_others_load_where_they_are_asked_for(
    engine: str, null_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()

    def opened(_: str, __: Path, spec: GraphSpec, ___: int) -> NullEngine:
        threads.add(get_ident())
        return NullEngine(spec)

    monkeypatch.setattr("echo_edge.session.open_engine", opened)
    load_bundle(bundle_for(engine, null_bundle)).close()
    assert threads == {get_ident()}


def test_a_graph_that_does_not_load_is_said(
    null_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(_: str, path: Path, spec: GraphSpec, __: int) -> NullEngine:
        if path.name == "asr.null":
            raise EngineError(f"{path.name}: cannot be loaded")
        return NullEngine(spec)

    monkeypatch.setattr("echo_edge.session.open_engine", opened)
    with pytest.raises(EngineError, match=r"^asr\.null: cannot be loaded$"):
        load_bundle(bundle_for("onnx", null_bundle))


def test_large_blocks_are_mapped_until_the_last_graph_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[int] = []
    libc: Any = SimpleNamespace(mallopt=lambda _, value: said.append(value))
    monkeypatch.setattr("echo_edge.engines.onnx.ctypes.CDLL", lambda _: libc)
    first = onnx._weights_outside_the_heap()
    second = onnx._weights_outside_the_heap()

    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(said) == {64 << 10}
    second.__exit__(None, None, None)
    assert said[-1] == 32 << 20
