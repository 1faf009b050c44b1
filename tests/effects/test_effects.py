"""Every command leaves the network alone, writes only what its user named and the state that is
documented, and handles no signal that it does not say: with a network, where a look-up would be
seen as it is tried, and without any interface, where it would fail.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.effects.trace import Effects, isolated, trace
from tests.runtime.test_habits import CI

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "demo"
EDGE = (sys.executable, "-m", "echo_edge")
VOICES = "home/.local/share/echo-edge"
"""The only state that a command keeps below HOME."""
HARMLESS = {"/dev/null", "/proc/self/oom_score_adj"}
"""No files: nowhere, and how soon the system ends a transcriber that is short of memory."""
LIBC = {"SIGRT_1"}
"""glibc sets it with the first thread, for its own setuid."""
STOPS = {"SIGINT", "SIGTERM", "SIGHUP"}
COMPILER = frozenset({"SIGABRT", "SIGALRM", "SIGBUS", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT",
                      "SIGPIPE", "SIGQUIT", "SIGSEGV", "SIGTERM"})  # fmt: skip
"""What gcc handles, in its own processes; on a board echo-edge-executorch takes its place."""
UNNAMED = "/var/tmp"  # noqa: S108
"""A container from a pipe is kept there in a file without a name."""
FFMPEG = frozenset({"SIGQUIT", "SIGXCPU"})
"""What ffmpeg handles, in its own process, where PyAV is not installed."""
KEYS = {"SIGUSR1", "SIGUSR2", "SIGTTOU", "SIGTTIN", "SIGTSTP", "SIGCONT", "SIGWINCH"}
"""What the recorder answers."""


@dataclass(frozen=True)
class Deed:
    """A command, and all that it may do."""

    words: tuple[str, ...]
    """With {BUNDLE}, {NULL} and {DEMO} for folders; relative to the workspace."""
    writes: tuple[str, ...] = ()
    """Files, and folders with all below them, in the workspace."""
    handlers: frozenset[str] = frozenset()
    """Beside those that stop it."""
    code: int = 0
    may_connect: str = "(?!)"
    """What addresses of sockets contain, a regular expression."""
    stdin: str = ""
    """The file in the workspace that is piped into it."""
    program: tuple[str, ...] = EDGE


SOUND = ("home/.config/pulse", "/tmp/pulse-*", "/dev/dsp*",  # noqa: S108
         f"/dev/shm/jack_db-{os.geteuid()}")  # noqa: S108  # fmt: skip
"""Files of libpulse (where there is no XDG_RUNTIME_DIR) and libjack, which PortAudio loads; and the
devices that it tries."""
SERVERS = r'sun_path="[^"]*(/pulse/native|/pulse-\w+/native|/dev/shm/jack_\w+)"|\d+<pipe:'
"""PulseAudio's and JACK's sockets on this machine; and libpulse's pipe to itself."""


def edge(*words: str, writes: tuple[str, ...] = (), **more: object) -> Deed:
    return Deed(words, writes, **more)  # type: ignore[arg-type]


def python(code: str, **more: object) -> Deed:
    return Deed((code,), program=(sys.executable, "-c"), **more)  # type: ignore[arg-type]


API = """
import echo_edge, numpy
with echo_edge.load("{BUNDLE}") as session:
    print(session.process(numpy.zeros(32000, "float32")).turns)
"""
TFLITE = """
from pathlib import Path
from echo_edge.engines import open_engine
from tests.runtime.engines.test_tflite import NOTHING, RUNNING_SUM, SAMPLES, SPEC
open_engine("tflite", RUNNING_SUM, SPEC, 2).run({{"samples": SAMPLES, "total": NOTHING}})
"""
EXECUTORCH = """
from echo_edge.engines import open_engine
from tests.runtime.engines.test_executorch import FIXTURE, ONES, SPEC
open_engine("executorch", FIXTURE, SPEC, 2).run(ONES)
"""

DEEDS: dict[str, tuple[Deed, ...]] = {
    "run": (
        edge("run", "a.wav", "--bundle", "{BUNDLE}", "--threads", "2"),
        edge("run", "-", "--bundle", "{BUNDLE}", "--latency-s", "1", stdin="a.pcm"),
        edge("run", "-", "--bundle", "{NULL}", stdin="a.wav", writes=(UNNAMED,)),
        edge("run", "-", "--bundle", "{NULL}", stdin="a.flac", writes=(UNNAMED,)),
        edge("run", "a.wav", "--bundle", "{BUNDLE}", "--separate", "voices", "--out", "a.json",
             "--format", "json", writes=("voices", "a.json*")),
        edge("run", "a.flac", "--bundle", "{NULL}"),
        edge("run", "a.ogg", "--bundle", "{NULL}"),
        edge("run", "a.mp3", "--bundle", "{NULL}"),
        edge("run", "none.wav", "--bundle", "{NULL}", code=1),
        edge("run", "a.wav", "--out", "none/a.txt", "--bundle", "{NULL}", writes=("none",),
             code=1),
    ),
    "record": (
        edge("record", "--out", "out", "--wav", "a.wav", "--pace", "0", "--bundle", "{BUNDLE}",
             writes=("out",), handlers=frozenset(KEYS)),
        edge("record", "--out", "out2", "--wav", "a.wav", "--pace", "0", "--audio-only", "--quiet",
             writes=("out2",), handlers=frozenset(KEYS)),
        edge("record", "--delete-last", "1", "--out", "out", writes=("out",), code=2),
        edge("record", "--recover", "out", "--bundle", "{NULL}", "--quiet", writes=("out",),
             handlers=frozenset(KEYS)),
    ),
    "media": (edge("run", "a.m4a", "--bundle", "{NULL}", handlers=FFMPEG),),
    "bench": (
        edge("bench", "--bundle", "{BUNDLE}", "--seconds", "1", "--live-s", "1", "--json", "b.json",
             "--html", "b.html", writes=("b.json*", "b.html*")),
        edge("bench", "--from", "b.json"),
    ),
    "microphone": (
        edge("record", "--list-devices", writes=SOUND, may_connect=SERVERS),
        edge("record", "--device", "no such", "--out", "m", writes=SOUND, may_connect=SERVERS,
             code=1),
    ),
    "doctor": (  # it looks for a microphone, as `record` does
        edge("doctor", "--bundle", "{BUNDLE}", writes=SOUND, may_connect=SERVERS),
        edge("doctor", "--json", writes=SOUND, may_connect=SERVERS),
    ),
    "bundle": (
        edge("bundle", "info", "{NULL}"),
        edge("bundle", "keygen", "k", writes=("k.*",)),
        edge("bundle", "sign", "--key", "k.key", "null", writes=("null/SIGNATURE*",)),
        edge("bundle", "sign", "--key", "k.key", "new", writes=("new/SIGNATURE*",)),
        edge("bundle", "verify", "null", "--keys", "keys"),
        edge("bundle", "install", "null", "--root", "root", "--keys", "keys", writes=("root",)),
        edge("bundle", "install", "new", "--root", "root", "--keys", "keys", writes=("root",)),
        edge("bundle", "install", "new", "--root", "root", "--keys", "none", writes=("root",),
             code=3),
        edge("bundle", "rollback", "--root", "root", "--keys", "keys", writes=("root",)),
    ),
    "speakers": (
        edge("speakers", "list"),
        edge("speakers", "enrol", "Ann", "ann.wav", "--bundle", "{BUNDLE}", writes=(VOICES,)),
        edge("run", "ann.wav", "--bundle", "{BUNDLE}", "--format", "json", "--out", "r.json",
             writes=("r.json*")),
        edge("speakers", "name", "Bob", "--from", "r.json", "--speaker", "speaker_1",
             "--audio", "ann.wav", "--bundle", "{BUNDLE}", writes=(VOICES,)),
        edge("speakers", "rename", "Ann", "Eve", writes=(VOICES,)),
        edge("speakers", "merge", "Bob", "Eve", writes=(VOICES,)),
        edge("speakers", "forget", "Eve", writes=(VOICES,)),
    ),
    "export": (edge("export", "--help"),),
    "api": (python(API),),
    "tflite": (python(TFLITE),),
    "executorch": (
        python(EXECUTORCH, writes=("home/.cache/echo-edge",), handlers=COMPILER),
        python(EXECUTORCH),
    ),
}  # fmt: skip
NEEDS = {"tflite": "ai_edge_litert", "executorch": "executorch", "export": "torch",
         "bundle": "cryptography", "media": "numpy", "microphone": "sounddevice"}  # fmt: skip
"""What a command cannot do without; all others need onnxruntime."""


def ann() -> np.ndarray:
    """What one person says in the demonstration."""
    audio, rate = soundfile.read(DEMO / "conversation.flac", dtype="float32")
    turns = [line.split() for line in (DEMO / "conversation.rttm").read_text().splitlines()]
    said = [(float(t[3]), float(t[4])) for t in turns if t[7] == turns[0][7]]
    pieces = [audio[round(start * rate) : round((start + length) * rate)] for start, length in said]
    return np.concatenate(pieces)


@pytest.fixture
def workspace(tmp_path: Path, null_bundle: Path) -> Path:
    """A folder with audio, a bundle of the null engine, a folder for keys and an empty HOME."""
    folder = tmp_path / "w"
    (folder / "home").mkdir(parents=True)
    (folder / "keys").mkdir()
    for build, name in enumerate(("null", "new"), start=1):
        shutil.copytree(null_bundle, folder / name)
        manifest = json.loads((folder / name / "manifest.json").read_text())
        manifest |= {"boards": [], "build": build}
        (folder / name / "manifest.json").write_text(json.dumps(manifest))
    noise = 0.01 * np.random.default_rng(0).standard_normal(32000)
    for name in ("a.wav", "a.flac", "a.ogg", "a.mp3"):
        soundfile.write(folder / name, noise, 16000)
    soundfile.write(folder / "ann.wav", ann(), 16000)
    (folder / "a.pcm").write_bytes(bytes(64000))
    if shutil.which("ffmpeg"):
        words = ("ffmpeg", "-v", "error", "-i", "a.wav", "a.m4a")
        subprocess.run(words, cwd=folder, check=True, stdin=subprocess.DEVNULL)
    return folder


@pytest.fixture(params=[False, True], ids=["with network", "isolated"])
def perform(
    request: pytest.FixtureRequest, workspace: Path, default_bundle: Path, tmp_path: Path
) -> Callable[[Deed], Effects]:
    """Do a deed as a user who has set nothing; it must end with its exit code."""
    before = isolated() if request.param else ()
    hidden = (*CI, "ORT_DISABLE_TELEMETRY", "TMPDIR", "NOTIFY_SOCKET")
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in hidden and not name.startswith(("XDG_", "ECHO_EDGE_", "PULSE_"))
    } | {"HOME": str(workspace / "home"), "ECHO_EDGE_ROOT": str(tmp_path / "nowhere"),
         "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}  # fmt: skip
    folders = {"BUNDLE": default_bundle, "NULL": "null", "DEMO": DEMO}

    def run(deed: Deed) -> Effects:
        words = [word.format(**folders) for word in deed.words]
        piped = (workspace / deed.stdin).read_bytes() if deed.stdin else b""
        done, found = trace(
            [*deed.program, *words], workspace, environment, tmp_path / "log", before, piped
        )
        assert done.returncode == deed.code, (words, done.stdout, done.stderr)
        return found

    return run


def unexpected_files(found: Effects, deed: Deed, workspace: Path) -> Iterator[str]:
    """Paths that the deed was not allowed to write."""
    for path in dict.fromkeys(found.written):
        if path in HARMLESS or _is_bytecode(path):
            continue
        allowed = [workspace / each for each in deed.writes]
        is_above = any(each.is_relative_to(path) for each in allowed)
        ways = (Path(path), *Path(path).parents)
        if not is_above and not any(way.match(str(each)) for way in ways for each in allowed):
            yield path


def _is_bytecode(path: str) -> bool:
    """Python's own cache of a module, beside it."""
    return Path(path).name == "__pycache__" or Path(path).parent.name == "__pycache__"


def network(found: Effects, deed: Deed) -> list[str]:
    """Calls about any socket but a pair between own processes, and what the deed may connect to."""
    allowed = re.compile(deed.may_connect)
    connected = [call for call in found.sockets if not call.startswith("socketpair(AF_UNIX")]
    if any(allowed.search(call) for call in connected):
        connected = [call for call in connected if not call.startswith("socket(AF_UNIX")]
    return [call for call in connected if not allowed.search(call)]


@pytest.mark.parametrize("name", DEEDS)
def test_a_command_keeps_to_itself(
    name: str, perform: Callable[[Deed], Effects], workspace: Path
) -> None:
    if find_spec(NEEDS.get(name, "onnxruntime")) is None:
        pytest.skip(f"needs {NEEDS.get(name, 'onnxruntime')}")
    if name == "media" and shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg: apt install ffmpeg")
    for deed in DEEDS[name]:
        found = perform(deed)

        shown = " ".join(deed.words)
        assert network(found, deed) == [], shown
        assert list(unexpected_files(found, deed, workspace)) == [], shown
        assert set(found.handlers) <= LIBC | STOPS | deed.handlers, shown
        assert found.unseen == [], shown
        if name == "bundle" and "keygen" in deed.words:
            shutil.copy(workspace / "k.pub", workspace / "keys")
