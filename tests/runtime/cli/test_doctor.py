"""`echo-edge doctor` says what is missing, and its exit code whether `run` will work."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from echo_edge import habits
from echo_edge.board import info as board
from echo_edge.cli import doctor, main

Diagnose = Callable[..., tuple[int, dict[str, dict[str, Any]]]]


@pytest.fixture(autouse=True)
def _no_other_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this machine's environment nor its installed bundle is found."""
    monkeypatch.delenv("ECHO_EDGE_BUNDLE", raising=False)
    monkeypatch.setenv("ECHO_EDGE_ROOT", str(tmp_path / "nowhere"))


def name_of(check: dict[str, Any]) -> str:
    """The engines share one name; the detail starts with theirs."""
    name = str(check["name"])
    return f"engine {check['detail'].split(':')[0]}" if name == "engine" else name


@pytest.fixture
def diagnose(capsys: pytest.CaptureFixture[str]) -> Diagnose:
    def run(*arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
        code = main(["doctor", "--json", *arguments])
        said = json.loads(capsys.readouterr().out)
        assert said["works"] == (code == 0)
        return code, {name_of(check): check for check in said["checks"]}

    return run


def break_graph_promise(folder: Path) -> None:
    """One byte more than the manifest says."""
    with (folder / "asr.null").open("ab") as file:
        file.write(b"x")


def wrong_expectation(folder: Path) -> None:
    """The self-test expects ones where the null engine says zero, hashes and all."""
    import hashlib
    import io

    manifest = json.loads((folder / "manifest.json").read_text())
    data = io.BytesIO()
    np.save(data, np.ones((26, 16), np.float16))
    expected = json.loads((folder / "selftest/expected.json").read_text())
    expected["latents"]["least_db"] = 30.0
    for name, content in (
        ("selftest/latents.npy", data.getvalue()),
        ("selftest/expected.json", json.dumps(expected).encode()),
    ):
        (folder / name).write_bytes(content)
        entry = manifest["files"][name]
        entry["sha256"], entry["size_bytes"] = hashlib.sha256(content).hexdigest(), len(content)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_machine_and_bundle_that_work(null_bundle: Path, diagnose: Diagnose) -> None:
    code, checks = diagnose("--bundle", str(null_bundle))
    assert code == 0
    needed = ("python", "numpy", "soundfile", "soxr", "bundle", "self-test")
    assert {name: checks[name]["status"] for name in needed} == dict.fromkeys(needed, "ok")
    assert checks["numpy"]["detail"] == np.__version__
    assert {"engine onnx", "engine null", "board", "memory"} < set(checks)


def test_lines_for_people(null_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--bundle", str(null_bundle)]) == 0
    *lines, verdict = capsys.readouterr().out.splitlines()
    assert verdict == "echo-edge run works here"
    assert all(line.split()[0] in {"ok", "missing", "problem"} for line in lines)


def test_an_engine_that_no_bundle_needs_may_be_missing(
    null_bundle: Path, diagnose: Diagnose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, checks = diagnose("--bundle", str(null_bundle))
    assert code == 0
    assert checks["engine onnx"]["status"] == "missing"
    assert "pip install 'echo-edge[onnx]'" in checks["engine onnx"]["detail"]


def test_the_engine_of_the_bundle_must_be_there(
    null_bundle: Path, diagnose: Diagnose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        doctor.ENGINES, "null", ("echo_edge.engines.null", "no_such_library", "pip install it")
    )
    code, checks = diagnose("--bundle", str(null_bundle))
    assert code == 1
    assert checks["engine null"]["status"] == "missing"
    assert checks["bundle"]["status"] == "problem"
    assert "no_such_library" in checks["bundle"]["detail"]


def test_a_missing_library(
    null_bundle: Path, diagnose: Diagnose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    code, checks = diagnose("--bundle", str(null_bundle))
    assert code == 1
    assert checks["soxr"]["status"] == "missing"
    assert "pip install" in checks["soxr"]["detail"]


def test_what_reads_media(
    null_bundle: Path, diagnose: Diagnose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", SimpleNamespace(__version__="18.1"))
    assert diagnose("--bundle", str(null_bundle))[1]["media"]["detail"] == "PyAV 18.1"

    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setenv("PATH", "/nowhere")
    code, checks = diagnose("--bundle", str(null_bundle))
    assert (code, checks["media"]["status"]) == (0, "missing")
    assert "apt install ffmpeg" in checks["media"]["detail"]


def test_no_bundle_at_the_path(tmp_path: Path, diagnose: Diagnose) -> None:
    code, checks = diagnose("--bundle", str(tmp_path / "absent"))
    assert code == 1
    assert checks["bundle"]["status"] == "problem"
    assert "absent" in checks["bundle"]["detail"]
    assert "self-test" not in checks


@pytest.mark.parametrize(
    ("damage", "broken"),
    [(break_graph_promise, "bundle"), (wrong_expectation, "self-test")],
)
def test_a_bundle_that_breaks_its_promise(
    null_bundle: Path, diagnose: Diagnose, damage: Callable[[Path], object], broken: str
) -> None:
    damage(null_bundle)
    code, checks = diagnose("--bundle", str(null_bundle))
    assert code == 1
    assert [n for n, c in checks.items() if c["needed"] and c["status"] != "ok"] == [broken]


def test_no_bundle_anywhere(
    diagnose: Diagnose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echo_edge.bundle.find.__file__", str(tmp_path / "bundle" / "find.py"))
    monkeypatch.setenv("ECHO_EDGE_ROOT", str(tmp_path))
    monkeypatch.delenv("ECHO_EDGE_BUNDLE", raising=False)
    code, checks = diagnose()
    assert code == 1
    assert checks["bundle"]["status"] == "missing"
    assert "--bundle DIR" in checks["bundle"]["detail"]


def test_every_text_is_one_line(null_bundle: Path, diagnose: Diagnose) -> None:
    shutil.rmtree(null_bundle / "selftest")
    _, checks = diagnose("--bundle", str(null_bundle))
    assert all(len(check["detail"].splitlines()) == 1 for check in checks.values())


@pytest.mark.parametrize(
    ("now", "status"), [((), "ok"), (("under_voltage",), "problem")], ids=["cool", "starved"]
)
def test_throttling_warns_without_forbidding(
    null_bundle: Path,
    diagnose: Diagnose,
    monkeypatch: pytest.MonkeyPatch,
    now: tuple[str, ...],
    status: str,
) -> None:
    monkeypatch.setattr(board, "throttled", lambda: board.Throttling(now, ("under_voltage",)))
    code, checks = diagnose("--bundle", str(null_bundle))
    assert code == 0
    assert checks["throttling"]["status"] == status
    assert "under_voltage" in checks["throttling"]["detail"]


@pytest.mark.parametrize(("available_mib", "status"), [(1, "problem"), (4096, "ok"), (None, "ok")])
def test_scarce_memory_warns_without_forbidding(
    null_bundle: Path,
    diagnose: Diagnose,
    monkeypatch: pytest.MonkeyPatch,
    available_mib: int | None,
    status: str,
) -> None:
    monkeypatch.setattr(board, "available_mib", lambda: available_mib)
    code, checks = diagnose("--bundle", str(null_bundle))
    assert code == 0
    assert checks["memory"]["status"] == status


@pytest.mark.parametrize(
    ("meminfo", "mib"),
    [("MemTotal: 9 kB\nMemAvailable:  524288 kB\n", 512), ("MemTotal: 9 kB\n", None), ("", None)],
)
def test_available_memory(tmp_path: Path, meminfo: str, mib: int | None) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(meminfo)
    assert board.available_mib(tmp_path) == mib


@pytest.mark.parametrize(
    ("came_in_time", "status", "detail"),
    [(True, "ok", ": off"), (False, "problem", ": on, it was")],
)
def test_telemetry_of_the_engine(
    null_bundle: Path,
    diagnose: Diagnose,
    monkeypatch: pytest.MonkeyPatch,
    came_in_time: bool,
    status: str,
    detail: str,
) -> None:
    monkeypatch.setattr(habits, "_came_in_time", came_in_time)
    code, checks = diagnose("--bundle", str(null_bundle))
    assert (code, checks["telemetry"]["status"]) == (0, status)
    assert checks["telemetry"]["detail"].startswith(f"of onnxruntime{detail}")
