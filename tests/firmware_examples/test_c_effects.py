"""The C programs leave the network alone and write only what their user named: with a network,
where a look-up would be seen as it is tried, and without any interface, where it would fail."""

import os
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.effects.test_effects import SERVERS, SOUND, Deed, network, unexpected_files
from tests.effects.trace import isolated, trace
from tests.firmware_examples.engines import ENGINES, Engine
from tests.runtime.test_habits import CI

SIGNALS = {"SIGINT", "SIGTERM", "SIGRT_1"}
"""Two that end a recording, and glibc's own."""

MODES = pytest.mark.parametrize("is_isolated", [False, True], ids=["with network", "isolated"])


@MODES
@pytest.mark.parametrize("telemetry", [None, "0"])
@pytest.mark.parametrize("engine", ENGINES)
def test_it_keeps_to_itself(
    is_isolated: bool,
    telemetry: str | None,
    engine: Engine,
    build_example: Callable[[Engine], Path],
    find_bundle: Callable[[Engine], Path],
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
    words = ["--bundle", str(find_bundle(engine)), *engine.arguments(), "--separate", "voices"]

    done, found = trace(
        [str(build_example(engine)), *words, "a.wav"],
        tmp_path, environment, tmp_path / "log", isolated() if is_isolated else (),
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert found.sockets == []
    voices = tmp_path / "voices"
    assert [path for path in found.written if not Path(path).is_relative_to(voices)] == []
    assert set(found.handlers) <= SIGNALS
    assert (found.unseen, list(home.iterdir())) == ([], [])


@MODES
def test_a_microphone_that_is_refused(
    is_isolated: bool, build_replay: Callable[..., Path], default_bundle: Path, tmp_path: Path
) -> None:
    """ALSA reads its configuration, which on Debian asks for PulseAudio, and that is all."""
    if shutil.which("pkg-config") is None:
        pytest.skip("needs pkg-config: apt install pkg-config libasound2-dev")
    environment = os.environ | {"HOME": str(tmp_path / "home")}
    deed = Deed((), writes=SOUND, may_connect=SERVERS)
    command = [str(build_replay("release", "yes")), "--bundle", str(default_bundle), "mic:gone"]

    done, found = trace(
        command, tmp_path, environment, tmp_path / "log", isolated() if is_isolated else ()
    )

    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert network(found, deed) == []
    assert list(unexpected_files(found, deed, tmp_path)) == []
    assert set(found.handlers) <= SIGNALS
