"""The LiteRT engine on a graph whose answers are known; real graphs are in tests/export."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge.bundle.manifest import GraphSpec, TensorSpec
from echo_edge.engines import tflite
from echo_edge.engines.stateful import GraphStream
from echo_edge.engines.tflite import TfliteEngine, open_graph
from echo_edge.errors import EngineError

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

RUNNING_SUM = Path(__file__).parents[2] / "fixtures" / "tflite" / "running_sum.tflite"
SPEC = GraphSpec(
    "running_sum.tflite",
    (TensorSpec("samples", (1, 4), "float32"), TensorSpec("total", (1, 4), "float32")),
    (TensorSpec("doubled", (1, 4), "float32"), TensorSpec("total_next", (1, 4), "float32")),
    {"total": "total_next"},
)
SAMPLES = np.array([[1.0, -2.0, 0.5, 8.0]], np.float32)
NOTHING = np.zeros((1, 4), np.float32)


@pytest.fixture
def engine() -> TfliteEngine:
    return open_graph(RUNNING_SUM, SPEC, threads=1)


def test_outputs_by_name(engine: TfliteEngine) -> None:
    outputs = engine.run({"total": SAMPLES * 10, "samples": SAMPLES})

    assert set(outputs) == {"doubled", "total_next"}
    np.testing.assert_array_equal(outputs["doubled"], SAMPLES * 2)
    np.testing.assert_array_equal(outputs["total_next"], SAMPLES * 11)
    assert outputs["doubled"].dtype == np.float32


def test_state_goes_on_from_chunk_to_chunk(engine: TfliteEngine) -> None:
    stream, other = GraphStream(engine, SPEC), GraphStream(engine, SPEC)
    for _ in range(5):
        stream.run(samples=SAMPLES)
        other.run(samples=-SAMPLES)

    assert engine.run({"samples": SAMPLES, **stream._state})["total_next"][0, 3] == 48.0
    assert engine.run({"samples": SAMPLES, **other._state})["total_next"][0, 3] == -32.0


def test_outputs_outlive_the_next_run_and_the_engine(engine: TfliteEngine) -> None:
    first = engine.run({"samples": SAMPLES, "total": NOTHING})
    engine.run({"samples": SAMPLES * 3, "total": SAMPLES})
    engine.close()

    np.testing.assert_array_equal(first["doubled"], SAMPLES * 2)
    np.testing.assert_array_equal(first["total_next"], SAMPLES)


def test_inputs_are_not_written_to(engine: TfliteEngine) -> None:
    samples, total = SAMPLES.copy(), NOTHING.copy()
    engine.run({"samples": samples, "total": total})

    np.testing.assert_array_equal(samples, SAMPLES)
    np.testing.assert_array_equal(total, NOTHING)


def test_inputs_need_not_be_in_one_piece(engine: TfliteEngine) -> None:
    wide = np.repeat(SAMPLES, 2, axis=1)

    outputs = engine.run({"samples": wide[:, ::2], "total": NOTHING})
    np.testing.assert_array_equal(outputs["doubled"], SAMPLES * 2)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_are_honoured(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = tflite._interpreter_class()

    def record(path: str, num_threads: int) -> object:
        asked.append(num_threads)
        return real(path, num_threads=num_threads)

    monkeypatch.setattr(tflite, "_interpreter_class", lambda: record)
    outputs = open_graph(RUNNING_SUM, SPEC, threads).run({"samples": SAMPLES, "total": NOTHING})

    assert asked == [threads]
    np.testing.assert_array_equal(outputs["doubled"], SAMPLES * 2)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        pytest.param({"samples": SAMPLES}, "found no total", id="missing"),
        pytest.param({}, "found no samples, total", id="nothing"),
        pytest.param({"samples": SAMPLES[:, 1:], "total": NOTHING}, "samples: .*", id="shape"),
        pytest.param({"samples": SAMPLES[0], "total": NOTHING}, "samples: .*", id="rank"),
        pytest.param(
            {"samples": SAMPLES, "total": NOTHING.astype(np.float64)}, "total: .*", id="dtype"
        ),
    ],
)
def test_wrong_inputs(
    engine: TfliteEngine, inputs: dict[str, NDArray[np.float32]], reason: str
) -> None:
    with pytest.raises(
        EngineError, match=f"^running_sum.tflite: litert failed: {reason}"
    ) as caught:
        engine.run(inputs)
    assert "\n" not in str(caught.value)


def test_closes_twice_and_says_so_when_asked_to_run(engine: TfliteEngine) -> None:
    engine.close()
    engine.close()

    with pytest.raises(EngineError, match="litert failed: the graph is closed"):
        engine.run({"samples": SAMPLES, "total": NOTHING})


def _renamed(side: str) -> GraphSpec:
    tensors = getattr(SPEC, side)
    return replace(SPEC, **{side: (replace(tensors[0], name="words"), *tensors[1:])})


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        pytest.param(_renamed("inputs"), "inputs: found samples float32.*nothing", id="input"),
        pytest.param(_renamed("outputs"), "outputs: found doubled float32.*nothing", id="output"),
        pytest.param(
            replace(SPEC, inputs=(TensorSpec("samples", (1, 5), "float32"), SPEC.inputs[1])),
            r"inputs: found samples float32\[1, 4\], expected float32\[1, 5\], as manifest.json",
            id="shape",
        ),
        pytest.param(
            replace(SPEC, outputs=(SPEC.outputs[0], TensorSpec("total_next", (1, 4), "int64"))),
            r"outputs: found total_next float32\[1, 4\], expected int64\[1, 4\]",
            id="dtype",
        ),
        pytest.param(
            replace(SPEC, inputs=SPEC.inputs[:1]),
            r"inputs: found total float32\[1, 4\], expected nothing",
            id="fewer",
        ),
    ],
)
def test_a_file_that_is_not_what_the_manifest_says(spec: GraphSpec, reason: str) -> None:
    with pytest.raises(EngineError, match=f"^running_sum.tflite: {reason}"):
        open_graph(RUNNING_SUM, spec, 1)


DATA = RUNNING_SUM.read_bytes()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no graph\n" * 100, id="text"),
        pytest.param(bytes(len(DATA)), id="zeros"),
        pytest.param(DATA[:8], id="only the start"),
        pytest.param(DATA[: len(DATA) // 2], id="truncated"),
        pytest.param(DATA[:-1], id="a byte short"),
        pytest.param(b"\xff" * 4 + DATA[4:], id="damaged start"),
        pytest.param(DATA[:8] + b"\xff" * 64 + DATA[72:], id="damaged inside"),
        pytest.param(DATA[:4] + b"ORT0" + DATA[8:], id="another format"),
    ],
)
def test_broken_files_are_refused_in_one_line(
    data: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "graph.tflite"
    path.write_bytes(data)

    with pytest.raises(EngineError, match=r"^graph.tflite: litert cannot load it: ") as caught:
        open_graph(path, SPEC, 1)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("damage", [0x01, 0x80, 0xFF])
def test_damage_anywhere_is_refused_or_harmless(damage: int, tmp_path: Path) -> None:
    path, refused = tmp_path / "graph.tflite", 0
    for at in range(0, len(DATA), 7):
        path.write_bytes(DATA[:at] + bytes([DATA[at] ^ damage]) + DATA[at + 1 :])
        try:
            open_graph(path, SPEC, 1).run({"samples": SAMPLES, "total": NOTHING})
        except EngineError:
            refused += 1

    assert refused > 20


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"^none.tflite: cannot be read \(No such file"):
        open_graph(tmp_path / "none.tflite", SPEC, 1)


def test_absent_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite, "LIBRARIES", ("no_such_litert", "no_such_runtime"))

    with pytest.raises(EngineError, match="no_such_litert is not installed here: pip install"):
        open_graph(RUNNING_SUM, SPEC, 1)


def test_the_predecessor_serves_where_it_is_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite, "LIBRARIES", ("no_such_litert", "ai_edge_litert"))

    assert open_graph(RUNNING_SUM, SPEC, 1).run({"samples": SAMPLES, "total": NOTHING})


def _in_a_new_process(body: str) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys, os\nimport numpy as np\nfrom pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from echo_edge.engines.tflite import _is_noise, open_graph\n"
        "from echo_edge.engines.stderr import quiet_stderr\n"
        "from echo_edge.bundle.manifest import GraphSpec, TensorSpec\n"
        f"path, spec = Path({str(RUNNING_SUM)!r}), {SPEC!r}\n" + body
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_library_is_not_heard() -> None:
    done = _in_a_new_process(
        "x = np.ones((1, 4), np.float32)\n"
        "open_graph(path, spec, 2).run({'samples': x, 'total': x})\n"
        "print('torch' in sys.modules or 'tensorflow' in sys.modules)"
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_what_is_no_chatter_is_heard() -> None:
    done = _in_a_new_process(
        "with quiet_stderr(_is_noise):\n"
        "    os.write(2, b'INFO: hello\\nERROR: out of memory\\n')\n"
        "print('after', file=sys.stderr)"
    )

    assert done.stderr == "ERROR: out of memory\nafter\n"


def test_runs_without_a_stderr() -> None:
    done = _in_a_new_process("os.close(2)\nopen_graph(path, spec, 1)\nprint('opened')")

    assert done.stdout == "opened\n"


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
def test_the_file_does_not_stay_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "graph.tflite"
    path.write_bytes(DATA)
    engine = open_graph(path, SPEC, 1)
    lines = Path("/proc/self/smaps").read_text().splitlines()
    places = [i for i, line in enumerate(lines) if line.endswith(str(path))]

    assert len(places) == 1  # still mapped, should anything be read from it
    assert next(line for line in lines[places[0] :] if line.startswith("Rss:")).split()[1] == "0"
    assert engine.run({"samples": SAMPLES, "total": NOTHING})["doubled"][0, 0] == 2.0


def _answer(engine: TfliteEngine) -> bytes:
    random = np.random.default_rng(1)
    stream = GraphStream(engine, SPEC)
    for _ in range(3):
        stream.run(samples=random.random((1, 4), np.float32))
    return stream._state["total"].tobytes()


def test_same_input_same_bytes() -> None:
    first, second = (_answer(open_graph(RUNNING_SUM, SPEC, 2)) for _ in range(2))

    assert first == second


def test_what_the_library_raises_is_one_line(
    engine: TfliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("operator\nfailed")

    monkeypatch.setattr(type(engine._interpreter), "invoke", broken)

    with pytest.raises(EngineError, match=r"litert failed: its operators: operator failed$"):
        engine.run({"samples": SAMPLES, "total": NOTHING})
