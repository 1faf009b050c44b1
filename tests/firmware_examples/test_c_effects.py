"""The C program leaves the network alone and writes only what its user named: with a network, where
a look-up would be seen as it is tried, and without any interface, where it would fail."""

import os
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.effects.trace import isolated, trace
from tests.firmware_examples.engines import ONNX, Engine, needs
from tests.runtime.test_habits import CI

pytestmark = needs(ONNX)
SIGNALS = {"SIGINT", "SIGTERM", "SIGRT_1"}
"""Two that end a recording, and glibc's own."""


@pytest.mark.parametrize("is_isolated", [False, True], ids=["with network", "isolated"])
@pytest.mark.parametrize("telemetry", [None, "0"])
@pytest.mark.parametrize("separates", [False, True])
def test_it_keeps_to_itself(
    is_isolated: bool,
    telemetry: str | None,
    separates: bool,
    build_example: Callable[[Engine], Path],
    default_bundle: Path,
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(64000))
    hidden = {*CI, "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}
    environment = {k: v for k, v in os.environ.items() if k not in hidden} | {"HOME": str(home)}
    if telemetry is not None:  # a user's: we know better
        environment["ORT_DISABLE_TELEMETRY"] = telemetry
    words = ["--separate", "voices"] if separates else []

    done, found = trace(
        [str(build_example(ONNX)), "--bundle", str(default_bundle), *ONNX.arguments(), *words,
         "a.wav"],
        tmp_path, environment, tmp_path / "log", isolated() if is_isolated else (),
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert found.sockets == []
    voices = tmp_path / "voices"
    assert [path for path in found.written if not Path(path).is_relative_to(voices)] == []
    assert set(found.handlers) <= SIGNALS
    assert (found.unseen, list(home.iterdir())) == ([], [])
