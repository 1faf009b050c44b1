"""What the tests beside this one rely on: a log of strace is understood."""

import os
import sys
from pathlib import Path

import pytest

from tests.effects.trace import Call, calls, effects, isolated, split_arguments, trace, unescape

HERE = Path("/here")


@pytest.mark.parametrize(
    ("text", "arguments", "rest"),
    [
        (") = 5", (), " = 5"),
        ("AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_IP) = 3",
         ("AF_INET", "SOCK_DGRAM|SOCK_CLOEXEC", "IPPROTO_IP"), " = 3"),
        ('"a, (b)\\"", 0777) = -1 EEXIST (File exists)',
         ('"a, (b)\\""', "0777"), " = -1 EEXIST (File exists)"),
        ('3</a\\74b, (c>, "d", O_RDWR) = 4</x>', ("3</a\\74b, (c>", '"d"', "O_RDWR"), " = 4</x>"),
        ('8<socket:[12]>, {sa_family=AF_UNIX, sun_path="/r,u}n"}, 110) = 0',
         ("8<socket:[12]>", '{sa_family=AF_UNIX, sun_path="/r,u}n"}', "110"), " = 0"),
        ("SIGINT, {sa_handler=0x7f, sa_mask=[USR1 TERM], sa_flags=0}, NULL, 8) = 0",
         ("SIGINT", "{sa_handler=0x7f, sa_mask=[USR1 TERM], sa_flags=0}", "NULL", "8"), " = 0"),
    ],
)  # fmt: skip
def test_arguments(text: str, arguments: tuple[str, ...], rest: str) -> None:
    assert split_arguments(text) == (arguments, rest)


@pytest.mark.parametrize("text", ["", "a, b", '"a)', "{a)"])
def test_a_call_that_breaks_off(text: str) -> None:
    with pytest.raises(ValueError, match="no end"):
        split_arguments(text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [(r"a\"b\\c", 'a"b\\c'), (r"a\nb\tc", "a\nb\tc"), (r"\74\76", "<>"), (r"\303\244", "ä"),
     (r"\1772", "\x7f2"), (r"\0", "\0"), (r"\377", os.fsdecode(b"\xff"))],
)  # fmt: skip
def test_strings(text: str, plain: str) -> None:
    assert unescape(text) == plain


def test_calls_of_threads_are_put_together() -> None:
    log = """\
10 socket(AF_INET, SOCK_DGRAM, IPPROTO_IP <unfinished ...>
11 mkdir("a", 0777 <unfinished ...>
10 <... socket resumed>)                   = 5
12 --- SIGCHLD {si_signo=SIGCHLD} ---
11 <... mkdir resumed>)  = -1 EEXIST (File exists)
12 +++ exited with 0 +++
13 execve("/bin/true", ["true"], 0x7f /* 2 vars */ <unfinished ...>
11 rename("a", "b" <unfinished ...>
13 <... execve resumed>) = 0
"""
    assert list(calls(log)) == [
        Call("socket", ("AF_INET", "SOCK_DGRAM", "IPPROTO_IP"), "5"),
        Call("mkdir", ('"a"', "0777"), "-1 EEXIST (File exists)"),
        Call("execve", ('"/bin/true"', '["true"]', "0x7f /* 2 vars */"), "0"),
        Call("rename", ('"a"', '"b"'), "?"),
    ]


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ('openat(AT_FDCWD</w>, "a", O_WRONLY|O_CREAT, 0666) = 3</w/a>', ["/w/a"]),
        ('openat(AT_FDCWD, "a", O_RDWR) = -1 EROFS (Read-only file system)', ["/here/a"]),
        ('openat(6</d>, "a", O_RDWR|O_CREAT|O_EXCL, 0600) = 7', ["/d/a"]),
        ('openat(AT_FDCWD</w>, "/t", O_RDWR|O_EXCL|O_TMPFILE, 0600) = 7', ["/t"]),
        ('openat(AT_FDCWD</w>, "/a/../b", O_RDONLY|O_TRUNC) = 7', ["/b"]),
        ('openat2(6</d>, "a", {flags=O_WRONLY, resolve=0}, 24) = 7', ["/d/a"]),
        ('openat(AT_FDCWD</w>, "a", O_RDONLY|O_CLOEXEC) = 3</w/a>', []),
        ('open("a", O_RDWR) = 3', ["/here/a"]),
        ('mkdir("a/b", 0777) = 0', ["/here/a/b"]),
        ('mkdirat(3</a\\74b>, "c,\\"d", 0777) = 0', ['/a<b/c,"d']),
        ('rename("/a", "b") = 0', ["/a", "/here/b"]),
        ('renameat2(3</x>, "a", 4</y>, "b", RENAME_NOREPLACE) = 0', ["/x/a", "/y/b"]),
        ('symlink("target", "/l") = 0', ["/l"]),
        ('symlinkat("target", 3</x>, "l") = 0', ["/x/l"]),
        ('linkat(3</x>, "a", 4</y>, "b", 0) = 0', ["/y/b"]),
        ('unlink("/a") = -1 ENOENT (No such file or directory)', ["/a"]),
        ('utimensat(3</x/y>, NULL, NULL, 0) = 0', ["NULL"]),
    ],
)  # fmt: skip
def test_what_was_written(line: str, written: list[str]) -> None:
    assert effects(f"1 {line}\n", HERE).written == written


def test_handlers_programs_and_what_cannot_be_seen() -> None:
    found = effects(
        """\
1 execve("/bin/sh", ["sh"], 0x7f /* 3 vars */) = 0
1 rt_sigaction(SIGINT, NULL, {sa_handler=0x7f, sa_mask=[], sa_flags=0}, 8) = 0
1 rt_sigaction(SIGPIPE, {sa_handler=SIG_IGN, sa_mask=[], sa_flags=0}, NULL, 8) = 0
1 rt_sigaction(SIGHUP, {sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}, {sa_handler=0x7f}, 8) = 0
1 rt_sigaction(SIGTERM, {sa_handler=0x7f, sa_mask=[], sa_flags=0}, NULL, 8) = 0
1 io_uring_setup(8, {flags=0}) = 3
1 connect(3<socket:[1]>, {sa_family=AF_UNIX, sun_path="/run/nscd/socket"}, 110) = 0
""",
        HERE,
    )
    assert (found.programs, found.handlers, found.unseen) == (
        ["/bin/sh"],
        ["SIGTERM"],
        ["io_uring_setup"],
    )
    assert found.sockets == [
        'connect(3<socket:[1]>, {sa_family=AF_UNIX, sun_path="/run/nscd/socket"}, 110)'
    ]


DEED = """
import os, signal, socket, subprocess, sys, threading
def write():
    folder = os.open(".", os.O_RDONLY)
    os.mkdir('d,<e>"', dir_fd=folder)
    os.rename('d,<e>"', "x\\ny\\xff", src_dir_fd=folder, dst_dir_fd=folder)
threading.Thread(target=write).start()
signal.signal(signal.SIGUSR1, print)
open("/dev/null", "w").close()
try:
    socket.getaddrinfo("example.invalid", 80)
except OSError:
    pass
subprocess.run([sys.executable, "-Ic", "open('child', 'w')"])
"""


@pytest.mark.parametrize("is_isolated", [False, True], ids=["with network", "isolated"])
def test_a_real_process_and_its_children(is_isolated: bool, tmp_path: Path) -> None:
    """With and without interfaces a look-up is seen; so are threads, children and odd names."""
    before = isolated() if is_isolated else ()
    command = [sys.executable, "-Ic", DEED]
    folder = tmp_path / "f"
    folder.mkdir()

    done, found = trace(command, folder, os.environ, tmp_path / "log", before)

    assert (done.returncode, done.stderr) == (0, "")
    written = {os.path.relpath(path, folder) for path in found.written}
    assert {'d,<e>"', "x\nyÿ", "child"} < written
    assert "/dev/null" in found.written
    assert "SIGUSR1" in found.handlers
    assert any("nscd" in call or "htons(53)" in call for call in found.sockets)
    assert found.programs.count(sys.executable) == 2
