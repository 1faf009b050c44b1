"""What libraries do by themselves is switched off before they are imported, however echo_edge is
used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from echo_edge import habits

CI = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "TRAVIS", "JENKINS_URL",
      "CODEBUILD_BUILD_ID", "BUILDKITE", "TEAMCITY_VERSION", "APPVEYOR", "BITBUCKET_BUILD_NUMBER",
      "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI", "ORT_RUNNING_UNIT_TESTS")  # fmt: skip
"""Any of these keeps onnxruntime quiet, so that no test of ours would see it speak."""


def _run(code: str, home: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Python with an empty HOME, as on a user's machine, not in CI."""
    hidden = {*CI, habits.TELEMETRY, "XDG_CACHE_HOME"}
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"HOME": str(home)} | variables,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def _written(home: Path) -> list[str]:
    return sorted(path.name for path in home.rglob("*") if path.is_file())


PRINT = f"import os; print(os.environ['{habits.TELEMETRY}'])"


@pytest.mark.parametrize(
    ("users", "ours"), [(None, "1"), ("", "1"), ("0", "1"), ("false", "1"), ("no", "1"),
                        ("1", "1"), ("true", "true"), ("YES", "YES"), (" on ", " on ")],
)  # fmt: skip
def test_a_yes_of_the_users_stays_and_nothing_weaker(
    users: str | None, ours: str, tmp_path: Path
) -> None:
    variables = {} if users is None else {habits.TELEMETRY: users}

    done = _run(f"import echo_edge\n{PRINT}", tmp_path, **variables)

    assert (done.stdout, done.stderr) == (f"{ours}\n", "")


@pytest.mark.parametrize("version", ["1.23.2", "1.28.0", "1.29.0", "1.30.0rc1", "1.32.0", "2.0.0"])
@pytest.mark.parametrize("in_time", [True, False])
def test_an_import_before_ours_is_said(version: str, in_time: bool, tmp_path: Path) -> None:
    """By onnxruntime's version: those before 1.29 do not report."""
    (tmp_path / "onnxruntime.py").write_text(f"__version__ = {version!r}\n")
    order = ("echo_edge", "onnxruntime") if in_time else ("onnxruntime", "echo_edge")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport {order[0]}\nimport {order[1]}\n"
        "from echo_edge import habits; print(habits.telemetry_is_off())"
    )

    done = _run(code, tmp_path)

    off = in_time or version < "1.29"
    assert done.stdout == f"{off}\n"
    assert ("import echo_edge first" in done.stderr) is not off, done.stderr


@pytest.mark.parametrize("imports", ["import onnxruntime, echo_edge", "import echo_edge"])
def test_a_switch_of_the_users_needs_no_order(imports: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")

    done = _run(imports, tmp_path, **{habits.TELEMETRY: "1"})

    assert (done.returncode, done.stderr, _written(tmp_path)) == (0, "", [])


@pytest.mark.parametrize(
    "between",
    ["", "import os; os.environ.clear()"],
    ids=["as it is", "the program empties its environment"],
)
def test_the_api_writes_nothing_into_home(
    between: str, default_bundle: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    code = f"""
import echo_edge, numpy
{between}
with echo_edge.load({str(default_bundle)!r}) as session:
    stream = session.stream()
    stream.push(numpy.zeros(16000, "float32"))
    stream.finish()
"""

    done = _run(code, tmp_path)

    assert (done.returncode, done.stderr, _written(tmp_path)) == (0, "", [])


@pytest.mark.parametrize("module", ["echo_edge", "echo_edge.cli", "echo_edge.engines.onnx",
                                    "echo_edge.recorder.transcribe", "echo_edge.bench.probe",
                                    "echo_edge_export"])  # fmt: skip
def test_every_way_in_sets_the_switch(module: str, tmp_path: Path) -> None:
    """The command, the modules that run as processes of their own, and the exporter."""
    code = f"import {module}, sys, json; {PRINT}; print(json.dumps('onnxruntime' in sys.modules))"

    done = _run(code, tmp_path)

    value, imported = done.stdout.splitlines()
    assert (value, json.loads(imported)) == ("1", False)


def test_onnxruntime_has_the_habit_that_we_switch_off(tmp_path: Path) -> None:
    """The tests above show nothing with a library that writes nothing: this one tells when."""
    ort = pytest.importorskip("onnxruntime")
    if not habits._reports(ort.__version__):
        pytest.skip(f"onnxruntime {ort.__version__} does not report")

    _run("import onnxruntime", tmp_path)
    assert "deviceid" in _written(tmp_path)


def test_what_portaudio_and_alsa_say_of_themselves_is_not_seen(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They print to C's stderr as they open a device and from threads of their own; what Python
    says at the same time is seen."""
    import ctypes
    import threading
    from types import SimpleNamespace

    from echo_edge.recorder import microphone
    from echo_edge.recorder.capture import BlockQueue
    from echo_edge.recorder.devices import Device

    libc, stop = ctypes.CDLL(None), threading.Event()
    libc.fputs.argtypes = (ctypes.c_char_p, ctypes.c_void_p)

    class Stream:
        active = True

        def __init__(self, **_: object) -> None:
            libc.fputs(b"ALSA lib pcm.c: Unknown PCM\n", ctypes.c_void_p.in_dll(libc, "stderr"))
            os.write(2, b"from Python\n")
            stop.set()

        def __enter__(self) -> "Stream":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    sound = SimpleNamespace(InputStream=Stream, PortAudioError=OSError)
    device = Device(0, "room", 1, 16000, is_default=True)
    monkeypatch.setattr(microphone, "load_sounddevice", lambda _: sound)
    monkeypatch.setattr(microphone, "input_devices", lambda _: [device])
    monkeypatch.setattr(microphone, "choose", lambda *_: device)

    microphone.Microphone(None).run(BlockQueue(), stop)

    assert capfd.readouterr().err == "from Python\n"
