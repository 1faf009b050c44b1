"""The file of known voices: what is refused, and that nothing is ever half written or lost."""

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echo_edge.errors import UsageError, VoicesError
from echo_edge.speakers import store as voices_file
from echo_edge.speakers.store import default_path, find_voices, read_voices, update_voices
from echo_edge.voices import Voiceprint, Voices, checked_name

CHECKPOINT = "c" * 64


def _print(*direction: float) -> Voiceprint:
    return Voiceprint.from_vector(np.array(direction, np.float32), 12.5, CHECKPOINT)


def _learn(name: str, *direction: float) -> Callable[[Voices], Voices]:
    return lambda voices: voices.learn(name, _print(*(direction or (1.0, 2.0, 3.0))))


def _listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "voices.json"


@pytest.fixture
def kept(path: Path) -> Path:
    update_voices(path, _learn("Ada"))
    return path


class TestStored:
    def test_what_is_read_is_what_was_written(self, kept: Path) -> None:
        voices = update_voices(kept, _learn("Zoë Ω 李", 0.3, -0.2, 0.0))

        assert read_voices(kept) == voices
        assert [voice.name for voice in voices.people] == ["Ada", "Zoë Ω 李"]

    def test_the_file_is_as_docs_say(self, kept: Path) -> None:
        document = json.loads(kept.read_text(encoding="utf-8"))

        assert document == {
            "schema": "echo-edge.voices/1",
            "checkpoint_sha256": CHECKPOINT,
            "people": [{"name": "Ada", "speech_s": 12.5, "embedding": [0.26726, 0.53452, 0.80178]}],
        }

    def test_is_for_its_owner_only(self, kept: Path) -> None:
        kept.chmod(0o644)  # as a careless copy would be
        kept.with_name("voices.json.partial").write_text("left by a crash")
        kept.with_name("voices.json.partial").chmod(0o666)

        update_voices(kept, _learn("Bert"))

        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE((kept.parent / ".voices.json.lock").stat().st_mode) == 0o600

    def test_nothing_else_is_left(self, kept: Path) -> None:
        assert _listing(kept.parent) == [".voices.json.lock", "voices.json"]

    def test_a_link_stays_a_link(self, kept: Path, tmp_path: Path) -> None:
        link = tmp_path / "link.json"
        link.symlink_to(kept)

        update_voices(link, _learn("Bert"))

        assert link.is_symlink()
        assert len(read_voices(kept).people) == 2

    def test_no_change_writes_nothing(self, kept: Path) -> None:
        before = kept.stat()

        update_voices(kept, lambda voices: voices)

        assert kept.stat() == before

    def test_everybody_forgotten(self, kept: Path) -> None:
        update_voices(kept, lambda voices: voices.forget("Ada"))

        assert read_voices(kept) == Voices()
        update_voices(kept, _learn("Bert"))
        assert b"Ada" not in kept.read_bytes()

    def test_a_change_that_fails_changes_nothing(self, kept: Path) -> None:
        before = kept.read_bytes()

        with pytest.raises(UsageError, match="Eve"):
            update_voices(kept, lambda voices: voices.forget("Eve"))

        assert kept.read_bytes() == before

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
    @given(
        names=st.lists(st.text(min_size=1, max_size=20), max_size=4),
        size=st.integers(2, 200),
        seed=st.integers(0, 2**32 - 1),
    )
    def test_any_people(self, tmp_path: Path, names: list[str], size: int, seed: int) -> None:
        path = tmp_path / f"{seed}-{size}.json"
        rng, voices = np.random.default_rng(seed), Voices()
        for name in names:
            try:
                voices = voices.learn(checked_name(name), _print(*rng.normal(size=size)))
            except UsageError:
                continue

        assert update_voices(path, lambda _: voices) == voices
        assert (read_voices(path) if voices.people else Voices()) == voices


PERSON = {"name": "Ada", "speech_s": 1.0, "embedding": [0.6, 0.8]}
GOOD = {"schema": "echo-edge.voices/1", "checkpoint_sha256": CHECKPOINT, "people": [PERSON]}


def _with(**person: Any) -> dict[str, Any]:
    return GOOD | {"people": [PERSON | person]}


DAMAGED: dict[str, tuple[Any, str]] = {
    "empty": (b"", "no JSON"),
    "cut off": (json.dumps(GOOD).encode()[:-20], "no JSON"),
    "not UTF-8": (b'{"schema": "\xff"}', "no JSON"),
    "a list": (b"[]", "expected an object"),
    "a key twice": (b'{"schema": 1, "schema": 1}', "this key twice"),
    "too deep": (b"[" * 100_000, "deeply nested"),
    "too large": (b" " * (voices_file.MAX_FILE_BYTES + 1), "more than 32 MiB"),
    "a later version": (GOOD | {"schema": "echo-edge.voices/2"}, "schema: found .*voices/2"),
    "another file of ours": (GOOD | {"schema": "echo-edge.result/1"}, "schema: found"),
    "an unknown key": (GOOD | {"audio": "x"}, "audio: found an unknown key"),
    "a key missing": ({"schema": "echo-edge.voices/1", "people": []}, "checkpoint_sha256: found"),
    "no checkpoint": (GOOD | {"checkpoint_sha256": ""}, "and a checkpoint"),
    "a wrong checkpoint": (GOOD | {"checkpoint_sha256": "xyz"}, "checkpoint_sha256: found"),
    "too many": (GOOD | {"people": [PERSON] * 1001}, "expected at most 1000 people"),
    "one twice": (GOOD | {"people": [PERSON, PERSON | {"name": "ADA"}]}, "'ADA' twice"),
    "name": (_with(name="a/b"), r"people\[0\].name: found '/'"),
    "name of two lines": (_with(name="a\nb"), "printable"),
    "a label as name": (_with(name="speaker_3"), "stands for the unnamed"),
    "not NFC": (_with(name="Zoe\u0308"), "NFC"),
    "speech": (_with(speech_s=-1.0), "speech_s: found -1.0, expected 0 or more"),
    "no number": (_with(embedding=["a"]), "expected a finite number"),
    "not finite": (json.dumps(_with(embedding=[float("nan")])).encode(), "expected a finite"),
    "zero": (_with(embedding=[0.0, 0.0]), "found 2 numbers of length 0"),
    "too long": (_with(embedding=[3.0, 4.0]), "found 2 numbers of length 5"),
    "nothing": (_with(embedding=[]), "found 0 numbers"),
    "of two sizes": (
        GOOD | {"people": [PERSON, {"name": "B", "speech_s": 1.0, "embedding": [1.0]}]},
        r"people\[1\].embedding: found 1 numbers",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(tmp_path: Path, name: str) -> None:
    """Refused in one line that names the file, by those who read and those who write."""
    content, message = DAMAGED[name]
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    path = tmp_path / "voices.json"
    path.write_bytes(data)

    for use in (read_voices, lambda path: update_voices(path, _learn("Eve"))):
        with pytest.raises(VoicesError, match=message) as caught:
            use(path)
        assert str(caught.value).startswith(str(path))
        assert "left as it is" in str(caught.value)
        assert "\n" not in str(caught.value)

    assert path.read_bytes() == data


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_one_byte_changed(tmp_path: Path, at: int, byte: int) -> None:
    """Read as some voices, or refused: never another error."""
    path = tmp_path / "voices.json"
    data = bytearray(json.dumps(GOOD).encode())
    data[at % len(data)] = byte
    path.write_bytes(data)
    try:
        voices = read_voices(path)
    except VoicesError:
        return

    assert len(voices.people) <= 1


class TestNotThere:
    def test_is_no_voices(self, tmp_path: Path) -> None:
        with pytest.raises(VoicesError, match=r"none.json: cannot be read \(No such file"):
            read_voices(tmp_path / "none.json")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(VoicesError, match="cannot be read"):
            read_voices(tmp_path)
        with pytest.raises(VoicesError, match="cannot be"):
            update_voices(tmp_path, _learn("Ada"))

    def test_a_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        with pytest.raises(VoicesError, match="cannot be written"):
            update_voices(tmp_path / "file" / "voices.json", _learn("Ada"))


class TestPlace:
    @pytest.mark.parametrize(
        ("environment", "expected"),
        [
            ({"ECHO_EDGE_VOICES": "/v/a.json", "XDG_DATA_HOME": "/x"}, "/v/a.json"),
            ({"XDG_DATA_HOME": "/x"}, "/x/echo-edge/voices.json"),
            ({"HOME": "/h"}, "/h/.local/share/echo-edge/voices.json"),
        ],
    )
    def test_default(
        self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
    ) -> None:
        for name in ("ECHO_EDGE_VOICES", "XDG_DATA_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        assert default_path() == Path(expected)

    def test_found(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        monkeypatch.setenv("ECHO_EDGE_VOICES", str(path))

        assert find_voices(None) is None
        assert find_voices("named.json") == Path("named.json")
        update_voices(path, _learn("Ada"))
        assert find_voices(None) == path


CALLS = ("open", "fchmod", "fsync", "mkdir", "replace")


def _fail_at(
    monkeypatch: pytest.MonkeyPatch, number: int, action: Callable[[], None]
) -> Callable[[], int]:
    """Run `action` before the given call that opens or changes a file; how many there were."""
    seen = 0

    def watched(call: Any) -> Any:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == number + 1:
                action()
            return call(*arguments, **options)

        return wrapped

    for name in CALLS:
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    return lambda: seen


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_any_call_may_fail(kept: Path, code: int) -> None:
    """Either the old or the new is there, whole; the error is one line; the next change works."""
    n_calls, number = 1, 0
    while number < n_calls:
        before = read_voices(kept)

        def fail() -> None:
            raise OSError(code, os.strerror(code))

        with pytest.MonkeyPatch.context() as patch:
            count = _fail_at(patch, number, fail)
            try:
                update_voices(kept, _learn(f"p {number}"))
            except VoicesError as error:
                assert os.strerror(code) in str(error)  # noqa: PT017 - some calls may be survived
            n_calls = max(n_calls, count())

        after = read_voices(kept)
        assert after in (before, _learn(f"p {number}")(before))
        assert _listing(kept.parent) == [".voices.json.lock", "voices.json"]
        number += 1
    assert n_calls >= 6
    update_voices(kept, _learn("at last"))
    assert read_voices(kept).find("at last")


def test_a_full_disk_in_the_middle_of_the_file(kept: Path) -> None:
    """As far as the kernel lets us: no file of this process may grow beyond 100 bytes."""
    before = kept.read_bytes()
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "from echo_edge.speakers.store import update_voices\n"
        "update_voices(sys.argv[1], lambda voices: voices.rename('Ada', 'Bert'))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(kept)], check=False, capture_output=True, text=True
    )

    assert done.returncode == 1
    assert "VoicesError" in done.stderr
    assert "cannot be written" in done.stderr
    assert kept.read_bytes() == before
    assert _listing(kept.parent) == [".voices.json.lock", "voices.json"]


def test_killed_before_any_call(kept: Path) -> None:
    """Also between writing and renaming: the file is whole, no lock stays, the next works."""
    for number in range(20):
        before = read_voices(kept)
        child = os.fork()
        if child == 0:
            with pytest.MonkeyPatch.context() as patch:
                _fail_at(patch, number, lambda: os._exit(9))
                update_voices(kept, _learn(f"p {number}"))
            os._exit(0)
        _, status = os.waitpid(child, 0)

        assert read_voices(kept) in (before, _learn(f"p {number}")(before))
        if os.waitstatus_to_exitcode(status) == 0:
            break
        update_voices(kept, _learn("after"))
        assert _listing(kept.parent) == [".voices.json.lock", "voices.json"]
    assert number >= 6
    assert os.waitstatus_to_exitcode(status) == 0


def test_many_at_once_lose_nobody(path: Path) -> None:
    """Processes, as two recordings that are named at once are."""
    code = (
        "import sys, numpy\n"
        "from echo_edge.voices import Voiceprint\n"
        "from echo_edge.speakers.store import update_voices\n"
        "for number in range(20):\n"
        "    voiceprint = Voiceprint.from_vector(numpy.ones(8), 1.0, 'c' * 64)\n"
        "    name = f'p {sys.argv[2]} {number}'\n"
        "    update_voices(sys.argv[1], lambda voices: voices.learn(name, voiceprint))\n"
    )

    children = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)]) for n in range(4)]

    assert [child.wait(60) for child in children] == [0, 0, 0, 0]
    assert len(read_voices(path).people) == 80


def test_one_who_holds_the_lock_for_ever(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices_file, "LOCK_S", 0.1)
    held, done = threading.Event(), threading.Event()

    def change(voices: Voices) -> Voices:
        held.set()
        done.wait(10)
        return voices

    holder = threading.Thread(target=update_voices, args=(kept, change))
    holder.start()
    held.wait(10)
    try:
        with pytest.raises(VoicesError, match=r"somebody else has been changing it for 0\.1 s"):
            update_voices(kept, _learn("Bert"))
    finally:
        done.set()
        holder.join()
    assert [voice.name for voice in read_voices(kept).people] == ["Ada"]
