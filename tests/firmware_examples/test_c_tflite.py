"""What only the LiteRT example can meet: graphs for another LiteRT, and another LiteRT."""

import re
import shutil
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from tests.firmware_examples.engines import TFLITE, Engine, needs
from tests.firmware_examples.example import replace_file

Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = needs(TFLITE)


@pytest.fixture(scope="module")
def program(build_example: Callable[[Engine], Path]) -> Path:
    return build_example(TFLITE)


@pytest.fixture
def bundle(find_bundle: Callable[[Engine], Path], tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copytree(find_bundle(TFLITE), tmp_path / "bundle"))


def _unknown_operators(path: Path) -> bytes:
    """The same graph, of operators in a version that no library has."""
    schema = import_module("ai_edge_litert.schema_py_generated")
    flatbuffers = import_module("flatbuffers")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))
    for code in model.operatorCodes:
        code.version = 99
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


HARM: dict[str, tuple[Callable[[Path], bytes], int, str]] = {
    "no TFLite": (lambda _: b"no graph" * 100, 3, "asr.tflite: found no TFL3"),
    "a graph for a newer engine": (
        lambda b: _unknown_operators(b / "asr.tflite"),
        1,
        "asr.tflite: litert cannot load it: status 3: ERROR: Didn't find op for builtin",
    ),
    "another shape": (
        lambda b: (b / "speaker.tflite").read_bytes(),
        3,
        "asr.tflite: inputs: found no latents or another shape",
    ),
}


@pytest.mark.parametrize("name", HARM)
def test_a_graph_that_it_cannot_run(
    name: str, program: Path, bundle: Path, run_program: Run
) -> None:
    make, code, message = HARM[name]
    replace_file(bundle, "asr.tflite", make(bundle))

    done = run_program(program, "--bundle", bundle, *TFLITE.arguments(), "-", pcm=bytes(100))

    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert done.stderr.startswith("echo-edge: ")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_another_version_of_the_library(
    program: Path, bundle: Path, run_program: Run, tmp_path: Path
) -> None:
    """All functions of LiteRT, but in a version that the program does not know."""
    names = re.findall(r"F\(\w+, (\w+),", (TFLITE.folder / "litert.h").read_text())
    source = "".join(f"int LiteRt{name}(void) {{ return 0; }}\n" for name in names)
    (tmp_path / "other.c").write_text(source + "char kLiteRtRuntimeBuiltin[8];\n")
    library = tmp_path / "libLiteRt.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", tmp_path / "other.c", "-o", library], check=True, timeout=60
    )

    done = run_program(program, "--bundle", bundle, "--engine-library", library, "-")

    assert done.returncode == 1
    assert "found another version of LiteRT (a table of 8 bytes)" in done.stderr
    assert len(done.stderr.splitlines()) == 1
