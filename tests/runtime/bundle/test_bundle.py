import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from echo_edge.bundle.find import find_bundle
from echo_edge.bundle.verify import open_bundle
from echo_edge.errors import BundleError


def _reseal(folder: Path, **changes: object) -> None:
    """Make the manifest list the files as they are now, and take `changes` at its top level."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for name, spec in manifest["files"].items():
        data = (folder / name).read_bytes()
        spec.update(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def test_opens(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)

    assert bundle.path == tiny_bundle
    assert bundle.manifest.engine.name == "null"
    assert bundle.tokens == ("<blank>", " ", "a", "b", "c")
    assert bundle.graph_path("encoder").read_bytes() == b"graph encoder\n"
    assert bundle.sha256 == hashlib.sha256((tiny_bundle / "manifest.json").read_bytes()).hexdigest()
    listed = [p for p in tiny_bundle.rglob("*") if p.is_file() and p.name != "manifest.json"]
    assert bundle.size_bytes == sum(p.stat().st_size for p in listed)


def test_opens_with_a_signature_file(tiny_bundle: Path) -> None:
    (tiny_bundle / "SIGNATURE").write_text("{}")

    assert open_bundle(tiny_bundle).manifest.build == 1


def test_opens_a_linked_folder_and_keeps_to_it(tiny_bundle: Path, tmp_path: Path) -> None:
    current = tmp_path / "current"
    current.symlink_to(tiny_bundle)

    assert open_bundle(current).path == tiny_bundle


def _grow(folder: Path) -> None:
    with (folder / "encoder.null").open("ab") as file:
        file.write(b"!")


def _flip(folder: Path) -> None:
    data = bytearray((folder / "encoder.null").read_bytes())
    data[3] ^= 1
    (folder / "encoder.null").write_bytes(data)


def _link(folder: Path) -> None:
    (folder / "encoder.null").rename(folder.parent / "encoder.null")
    (folder / "encoder.null").symlink_to(folder.parent / "encoder.null")


def _link_folder(folder: Path) -> None:
    (folder / "selftest").rename(folder.parent / "selftest")
    (folder / "selftest").symlink_to(folder.parent / "selftest")


def _replace(make: Callable[[Path], object], name: str = "encoder.null") -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return edit


def _link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _write_too_much(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b" " * 2**21)


def _demand(folder: Path) -> None:
    _reseal(folder, minimum_runtime="99.0.0")


ATTACKS = [
    ("manifest.json: found nothing", lambda f: (f / "manifest.json").unlink()),
    ("manifest.json: found a folder", _replace(Path.mkdir, "manifest.json")),
    ("manifest.json: found a symbolic link", _replace(_link_to_zeros, "manifest.json")),
    ("manifest.json: found no JSON", lambda f: (f / "manifest.json").write_text("hello")),
    ("manifest.json: found 1048577 bytes", _write_too_much),
    ("encoder.null: found nothing", lambda f: (f / "encoder.null").unlink()),
    ("encoder.null: found a folder", _replace(Path.mkdir)),
    ("encoder.null: found a device, pipe", _replace(os.mkfifo)),
    ("encoder.null: found a symbolic link", _link),
    ("encoder.null: found 15 bytes, expected 14", _grow),
    ("encoder.null: found sha256", _flip),
    ("tokens.txt: found 0 bytes, expected 22", lambda f: (f / "tokens.txt").write_bytes(b"")),
    ("selftest/expected.txt: found nothing", lambda f: (f / "selftest/expected.txt").unlink()),
    ("'selftest': found in the bundle", _link_folder),
    ("'extra.txt': found in the bundle", lambda f: (f / "extra.txt").write_text("")),
    ("'selftest/extra': found in the bundle", lambda f: (f / "selftest/extra").write_text("")),
    ("'empty': found in the bundle", lambda f: (f / "empty").mkdir()),
    ("'selftest/deep': found in the bundle", lambda f: (f / "selftest/deep").mkdir()),
    ("'a\\nb': found in the bundle", lambda f: (f / "a\nb").write_text("")),
    ("SIGNATURE: found a symbolic link", lambda f: (f / "SIGNATURE").symlink_to("tokens.txt")),
    ("manifest.json: minimum_runtime: found 99.0.0", _demand),
]  # fmt: skip


@pytest.mark.parametrize(("message", "attack"), ATTACKS, ids=[message for message, _ in ATTACKS])
def test_refuses(tiny_bundle: Path, message: str, attack: Callable[[Path], object]) -> None:
    attack(tiny_bundle)

    with pytest.raises(BundleError) as caught:
        open_bundle(tiny_bundle)

    assert str(caught.value).startswith(message)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "line 1: found '', expected '<blank>'"),
        (b"a\n<blank>\n", "line 1: found 'a', expected '<blank>'"),
        (b"<blank>\na\na\n", "line 3: found 'a' again"),
        (b"<blank>\n<space>\na\nb\n", "found 4 tokens, expected 5"),
        (b"<blank>\n\na\n", "line 2: found ''"),
        (b"<blank>\na\n\n", "line 3: found ''"),
        (b"<blank>\r\na\r\n", r"line 1: found '<blank>\r'"),
        (b"<blank>\n \n", "line 2: found ' '"),
        (b"<blank>\na b\n", "line 2: found 'a b'"),
        (b"<blank>\na\x1b\n", r"line 2: found 'a\x1b'"),
        (b"<blank>\n\xff\n", "found bytes that are not UTF-8"),
        (b"<blank>\n" + b"x" * 2**20, "found more than 1 MiB"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_refuses_tokens(tiny_bundle: Path, text: bytes, message: str) -> None:
    (tiny_bundle / "tokens.txt").write_bytes(text)
    _reseal(tiny_bundle)

    with pytest.raises(BundleError, match=re.escape(f"tokens.txt: {message}")):
        open_bundle(tiny_bundle)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (b"<blank>\n<space>\n'\na\nb\n", ("<blank>", " ", "'", "a", "b")),
        (b"<blank>\na\nb\nc\nd", ("<blank>", "a", "b", "c", "d")),
        ("<blank>\nß\nth\ne\nf\n".encode(), ("<blank>", "ß", "th", "e", "f")),
    ],
)
def test_reads_tokens(tiny_bundle: Path, text: bytes, tokens: tuple[str, ...]) -> None:
    (tiny_bundle / "tokens.txt").write_bytes(text)
    _reseal(tiny_bundle)

    assert open_bundle(tiny_bundle).tokens == tokens


@pytest.mark.parametrize(
    ("installed", "minimum"),
    [("0.1.0", "0.1.0"), ("0.2.0.dev1", "0.1.9"), ("1.0.0", "0.10.0"), ("0.10.0", "0.9.0")],
)
def test_accepts_a_runtime_new_enough(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, installed: str, minimum: str
) -> None:
    _reseal(tiny_bundle, minimum_runtime=minimum)
    monkeypatch.setattr("echo_edge.version.__version__", installed)

    assert open_bundle(tiny_bundle).manifest.minimum_runtime == minimum


@pytest.mark.parametrize("path", ["nothing-here", "file", "\0"], ids=repr)
def test_refuses_what_is_no_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(BundleError, match="found no folder, expected a bundle"):
        open_bundle(tmp_path / path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_refuses_what_it_may_not_read(tiny_bundle: Path) -> None:
    (tiny_bundle / "encoder.null").chmod(0)

    with pytest.raises(BundleError, match=r"cannot be read \(Permission denied\)"):
        open_bundle(tiny_bundle)


class TestFindBundle:
    @pytest.fixture(autouse=True)
    def _clean(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        find = tmp_path / "package" / "bundle" / "find.py"
        monkeypatch.setattr("echo_edge.bundle.find.__file__", str(find))
        monkeypatch.setenv("ECHO_EDGE_ROOT", str(tmp_path / "root"))
        monkeypatch.setenv("ECHO_EDGE_BUNDLE", "")

    def test_in_order(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match=r"bundle: found none.*--bundle DIR"):
            find_bundle(None)
        default = tmp_path / "package" / "default_bundle"
        default.mkdir(parents=True)
        assert find_bundle(None) == default
        installed = tmp_path / "root" / "current"
        installed.mkdir(parents=True)
        assert find_bundle(None) == installed
        shutil.rmtree(installed)
        installed.symlink_to("nothing")  # damaged: to be refused, not to be passed over
        assert find_bundle(None) == installed
        monkeypatch.setenv("ECHO_EDGE_BUNDLE", "named")
        assert find_bundle(None) == Path("named")
        assert find_bundle("explicit") == Path("explicit")

    def test_where_it_may_not_look(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def forbidden(path: Path) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "lstat", forbidden)

        with pytest.raises(
            BundleError, match=r"current: cannot be read \(Permission denied\)"
        ) as e:
            find_bundle(None)
        assert e.value.rule == "readable"
