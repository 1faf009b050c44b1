"""Where the library of the ExecuTorch engine comes from."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import echo_edge
from echo_edge.engines import executorch, executorch_library
from echo_edge.engines.executorch import ExecutorchEngine, open_graph, sealed
from echo_edge.engines.executorch_bindings import BindingsEngine, available
from echo_edge.errors import EngineError
from tests.runtime.engines.executorch_graph import FIXTURE, MISSING, ONES, SPEC

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture
def fresh_library() -> Iterator[None]:
    """The library is looked for again, and once more after the test."""
    executorch_library.library.cache_clear()
    yield
    executorch_library.library.cache_clear()


def test_it_needs_no_torch_and_says_nothing() -> None:
    script = f"""
import sys
sys.modules["torch"] = None
sys.path[:0] = {[str(Path(echo_edge.__file__).parents[1]), str(Path(__file__).parents[3])]!r}
from echo_edge.engines.executorch import open_graph
from tests.runtime.engines.executorch_graph import FIXTURE, ONES, SPEC
open_graph(FIXTURE, SPEC, 2).run(ONES)
print(*sorted(m for m in sys.modules if m.split(".")[0] in ("torch", "torchao", "executorch")))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["executorch", "executorch.version", "torch"]


def test_two_processes_compile_at_once(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path[:0] = {[str(Path(echo_edge.__file__).parents[1])]!r}
from echo_edge.engines import executorch_library
executorch_library._from_wheel = lambda version: None
print(executorch_library.library()._name)
"""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", script]
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    used = {process.communicate()[0].strip() for process in both}

    assert [process.returncode for process in both] == [0, 0]
    assert used == {str(path) for path in (tmp_path / "echo-edge").iterdir()}
    assert len(used) == 1


@pytest.mark.usefixtures("fresh_library")
class TestWhereTheLibraryComesFrom:
    @pytest.fixture(autouse=True)
    def _nothing_there(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.delenv("CXX", raising=False)
        monkeypatch.setattr(executorch_library, "COMPILERS", ())
        monkeypatch.setattr(executorch_library, "WHEEL", "echo_edge_executorch_absent")
        monkeypatch.setattr("echo_edge.engines.executorch_bindings.available", lambda: False)

    def test_from_nowhere(self) -> None:
        with pytest.raises(EngineError) as caught:
            open_graph(FIXTURE, SPEC, 1)

        message = str(caught.value)
        assert message.startswith("engine executorch: found neither echo-edge-executorch for ")
        assert "or install a C++ compiler (apt install g++)" in message

    def test_a_compiler_that_fails(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("CXX", "false")

        with pytest.raises(EngineError, match=r"false cannot compile executorch_shim\.cpp: "):
            executorch_library.library()
        assert not list((tmp_path / "echo-edge").iterdir())

    def test_a_cache_that_cannot_be_written(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("CXX", "c++")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

        with pytest.raises(EngineError, match=r"cannot be written .*: set XDG_CACHE_HOME"):
            executorch_library.library()

    def test_no_executorch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(executorch_library, "find_spec", lambda _: None)

        with pytest.raises(EngineError, match="pip install --no-deps executorch"):
            executorch_library.library()

    @pytest.mark.parametrize(("version", "used"), [("", True), ("1.4.0", False)])
    def test_the_wheel_if_made_for_this_executorch(
        self, monkeypatch: pytest.MonkeyPatch, version: str, used: bool
    ) -> None:
        _, installed = executorch_library.installed()
        wheel = ModuleType("echo_edge_executorch_absent")
        wheel.__spec__ = ModuleSpec(wheel.__name__, None)
        wheel.LIBRARY, wheel.EXECUTORCH = Path("/nowhere.so"), version or installed
        wheel.INTERFACE = executorch_library.INTERFACE
        monkeypatch.setitem(sys.modules, wheel.__name__, wheel)

        message = "nowhere.so does not load" if used else "found neither echo-edge-executorch"
        with pytest.raises(EngineError, match=message):
            executorch_library.library()


@pytest.mark.skipif(not available(), reason="needs torch and executorch's Python bindings")
def test_with_the_bindings_where_there_is_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = ExecutorchEngine(FIXTURE, SPEC, threads=1)

    def missing() -> None:
        raise EngineError("no library")

    monkeypatch.setattr(executorch, "library", missing)
    fallback = open_graph(FIXTURE, SPEC, 1)
    assert isinstance(fallback, BindingsEngine)
    first = fallback.run(ONES)
    fallback.run({name: 2.0 * value for name, value in ONES.items()})

    for name, value in engine.run(ONES).items():
        np.testing.assert_array_equal(first[name], value)
    with pytest.raises(EngineError, match=r"running\.pte: executorch failed"):
        fallback.run({"x": ONES["x"]})
    with pytest.raises(EngineError, match=r"running\.pte: inputs: found"):
        open_graph(FIXTURE, replace(SPEC, inputs=SPEC.inputs[:1]), 1)
    bad = tmp_path / "bad.pte"
    bad.write_bytes(sealed(FIXTURE.read_bytes()[:500]))
    with pytest.raises(EngineError, match=r"bad\.pte: executorch cannot load it"):
        open_graph(bad, SPEC, 1)
    fallback.close()
    engine.close()
    fallback.close()
