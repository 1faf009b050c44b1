"""Effects of a command on the world outside of it, as `strace` saw them: sockets, files that were
written, signal handlers, programs that were started. Attempts count, whether or not they failed.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOCKETS = ("socket", "socketpair", "connect", "bind", "sendto", "sendmsg", "sendmmsg")
PATHS = {
    "creat": (0,), "mkdir": (0,), "rmdir": (0,), "unlink": (0,), "mknod": (0,), "truncate": (0,),
    "chmod": (0,), "chown": (0,), "lchown": (0,), "utime": (0,), "utimes": (0,), "setxattr": (0,),
    "rename": (0, 1), "link": (1,), "symlink": (1,),
    "mkdirat": (1,), "unlinkat": (1,), "mknodat": (1,), "fchmodat": (1,), "fchownat": (1,),
    "utimensat": (1,), "futimesat": (1,), "linkat": (3,), "symlinkat": (2,),
    "renameat": (1, 3), "renameat2": (1, 3),
}  # fmt: skip
"""System call -> which arguments are paths that it changes. In the calls whose name ends in `at`
the folder is the argument before the path."""
OPENS = {"open": 0, "openat": 1, "openat2": 1}
OTHERS = ("rt_sigaction", "execve", "execveat", "io_uring_setup")
WRITES = re.compile(r"\bO_(?:WRONLY|RDWR|CREAT|TRUNC|TMPFILE|APPEND)\b")

_LINE = re.compile(r"(?P<pid>\d+) +(?P<rest>.*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)", re.DOTALL)
_CALL = re.compile(r"(?P<name>\w+)\((?P<rest>.*)", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}
_PAIRS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Call:
    """One system call."""

    name: str
    arguments: tuple[str, ...]
    """As strace writes them."""
    result: str


@dataclass
class Effects:
    """All that a command and the processes that it started did."""

    sockets: list[str] = field(default_factory=list)
    """Calls about sockets, as strace writes them."""
    written: list[str] = field(default_factory=list)
    """Absolute paths that were made, changed, removed or opened to be written."""
    handlers: list[str] = field(default_factory=list)
    """Signals for which a handler was set: SIGINT, SIGTERM ..."""
    programs: list[str] = field(default_factory=list)
    """Paths of programs that were started."""
    unseen: list[str] = field(default_factory=list)
    """Calls whose effects the trace cannot show."""


def split_arguments(text: str) -> tuple[tuple[str, ...], str]:
    """The arguments of a call, from behind its opening bracket, and what follows the closing one.
    ValueError if that is missing."""
    arguments, start, closing = [], 0, [")"]
    place = 0
    while place < len(text):
        character = text[place]
        if character == '"':
            place = _end_of_string(text, place)
        elif character == "<" and (end := text.find(">", place)) > 0:
            place = end  # the path of a descriptor; strace escapes what could end it early
        elif character in _PAIRS:
            closing.append(_PAIRS[character])
        elif character == closing[-1]:
            closing.pop()
        if not closing or (character == "," and len(closing) == 1):
            arguments.append(text[start:place].strip())
            start = place + 1
        if not closing:
            return tuple(arguments) if arguments != [""] else (), text[place + 1 :]
        place += 1
    raise ValueError(f"no end of the arguments: {text}")


def _end_of_string(text: str, start: int) -> int:
    """Where the quote stands that ends the string which begins at `start`."""
    place = start + 1
    while text[place : place + 1] != '"':
        if place >= len(text):
            raise ValueError(f"no end of the string: {text[start:]}")
        place += 2 if text[place] == "\\" else 1
    return place


def unescape(text: str) -> str:
    """A string as it was, from how strace writes it."""

    def plain(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code, 8) & 255]) if code.isdigit() else _LETTERS.get(code, code)

    return os.fsdecode(_ESCAPE.sub(plain, text.encode("utf-8", "surrogateescape")))


def calls(log: str) -> Iterator[Call]:
    """The calls in what `strace -f -o` wrote; a call that another thread's interrupts in the log
    is put together again. One that never returned, as its process ended, is there without result.
    """
    begun: dict[str, str] = {}
    for line in log.splitlines():
        found = _LINE.fullmatch(line)
        if found is None or found["rest"].startswith(("---", "+++", "strace:")):
            continue
        pid, rest = found["pid"], found["rest"]
        if resumed := _RESUMED.fullmatch(rest):
            rest = begun.pop(pid, f"{resumed['name']}(") + resumed["rest"].removeprefix(" ")
        if rest.endswith(_UNFINISHED):
            begun[pid] = rest.removesuffix(_UNFINISHED)
            continue
        yield _call(rest)
    yield from (_call(f"{rest.rstrip(', ')}) = ?") for rest in begun.values())


def _call(text: str) -> Call:
    found = _CALL.fullmatch(text)
    if found is None:
        raise ValueError(f"no system call: {text}")
    arguments, rest = split_arguments(found["rest"])
    return Call(found["name"], arguments, rest.strip().removeprefix("=").strip())


def effects(log: str, folder: Path) -> Effects:
    """Effects of the calls in a log of `strace -f -y -o`, begun in `folder`."""
    seen = Effects()
    for call in calls(log):
        name, arguments = call.name, call.arguments
        if name in SOCKETS:
            seen.sockets.append(f"{name}({', '.join(arguments)})")
        elif name in PATHS:
            seen.written += [_path(call, place, folder) for place in PATHS[name]]
        elif name in OPENS and WRITES.search(arguments[OPENS[name] + 1]):
            seen.written.append(_path(call, OPENS[name], folder))
        elif name == "rt_sigaction" and _is_handler(arguments[1]):
            seen.handlers.append(arguments[0])
        elif name in ("execve", "execveat"):
            seen.programs.append(_path(call, name == "execveat", folder))
        elif name == "io_uring_setup":
            seen.unseen.append(name)
    return seen


def _path(call: Call, place: int, folder: Path) -> str:
    """The absolute path in an argument; relative ones are from the folder before it."""
    if not call.arguments[place].startswith('"'):
        return call.arguments[place]  # NULL, an address that could not be read
    path = unescape(call.arguments[place].removesuffix("...")[1:-1])
    start = str(folder)
    if place and call.name.endswith(("at", "at2")):
        named = re.search(r"<(.*)>", call.arguments[place - 1])
        start = unescape(named[1]) if named else start
    return os.path.normpath(Path(start) / path)


def _is_handler(action: str) -> bool:
    return action != "NULL" and "SIG_DFL" not in action and "SIG_IGN" not in action


def isolated() -> tuple[str, ...]:
    """Words before a command that take every network interface from it; skips where the system
    does not allow that."""
    words = ("unshare", "-n") if os.geteuid() == 0 else ("unshare", "-rn")
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare: apt install util-linux")
    if subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system allows no network namespaces")
    return words


def trace(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    before: Sequence[str] = (),
    stdin: bytes = b"",
) -> tuple["subprocess.CompletedProcess[str]", Effects]:
    """Run a command in `folder` under strace, `before` its words; its outcome and effects. Skips
    where strace is missing or may not be used."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace: apt install strace")
    traced = ",".join(f"?{name}" for name in (*SOCKETS, *PATHS, *OPENS, *OTHERS))
    strace = ("strace", "-f", "-y", "-qq", "--seccomp-bpf", "-e", f"trace={traced}", "-o", str(log))
    done = subprocess.run(
        [*before, *strace, "--", *command],
        cwd=folder, env=dict(environment), input=stdin, capture_output=True, check=False,
        timeout=300,
    )  # fmt: skip
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if "PTRACE" in err or "ptrace" in err:
        pytest.skip(f"strace may not be used here: {err.strip()}")
    outcome = subprocess.CompletedProcess(done.args, done.returncode, out, err)
    return outcome, effects(log.read_text(errors="surrogateescape"), folder)
