"""The RAUC example, built with a throw-away CA, verified, tampered with, and installed by RAUC's
service on a session bus to slots that are files."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "firmware_examples" / "flash_rauc"
TOOLS = ("rauc", "mksquashfs", "unsquashfs", "openssl")
pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS),
    reason=f"needs {', '.join(TOOLS)}: apt install rauc squashfs-tools openssl",
)

BOOT_BACKEND = """#!/bin/sh
case $1 in get-primary) echo A ;; get-state) echo good ;; esac
"""
COMMAND = """#!/bin/sh
exec {python} -c 'import sys; from echo_edge.cli import main; sys.exit(main())' "$@"
"""
SERVE = """
export DBUS_STARTER_BUS_TYPE=session
rauc --conf="$1" --override-boot-slot=A service &
service=$!
for _ in $(seq 100); do rauc --conf="$1" status >/dev/null 2>&1 && break; sleep 0.1; done
rauc install "$2"
code=$?
kill $service
exit $code
"""


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ca")
    subprocess.run([EXAMPLE / "throwaway_ca.sh", folder], check=True)
    return folder


@pytest.fixture
def raucb(ca: Path, signed_bundle: Path, tmp_path: Path) -> Path:
    return _make(ca, signed_bundle, tmp_path / "model.raucb")


def _make(ca: Path, bundle: Path, out: Path) -> Path:
    words = (EXAMPLE / "make_raucb.sh", bundle, 5, ca / "sign.pem", ca / "sign.key", out)
    subprocess.run([str(word) for word in words], check=True, capture_output=True)
    return out


def _rauc(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["rauc", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_is_verified(raucb: Path, ca: Path) -> None:
    done = _rauc(f"--keyring={ca / 'ca.pem'}", "info", raucb)

    assert done.returncode == 0, done.stderr
    assert "Compatible: \t'echo-edge-example'" in done.stdout
    assert "model.squashfs" in done.stdout


def test_of_a_stranger_is_refused(raucb: Path, tmp_path: Path) -> None:
    subprocess.run([EXAMPLE / "throwaway_ca.sh", tmp_path / "other"], check=True)

    assert _rauc(f"--keyring={tmp_path / 'other' / 'ca.pem'}", "info", raucb).returncode == 1


@pytest.mark.parametrize("at", [0.3, 0.6, -1])
def test_tampered_with_is_refused(raucb: Path, ca: Path, at: float) -> None:
    data = bytearray(raucb.read_bytes())
    data[-100 if at < 0 else int(at * len(data))] ^= 1
    raucb.write_bytes(data)

    assert _rauc(f"--keyring={ca / 'ca.pem'}", "info", raucb).returncode == 1


def test_an_unsigned_model_is_not_packed(ca: Path, null_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        _make(ca, null_bundle, tmp_path / "model.raucb")

    assert b"found no SIGNATURE" in caught.value.stderr


def test_its_image_is_the_bundle_and_the_same_every_time(
    raucb: Path, ca: Path, signed_bundle: Path, tmp_path: Path
) -> None:
    images = []
    for number, path in enumerate((raucb, _make(ca, signed_bundle, tmp_path / "again.raucb"))):
        out = tmp_path / f"extracted{number}"
        done = _rauc(f"--keyring={ca / 'ca.pem'}", "extract", path, out)
        assert done.returncode == 0, done.stderr
        images.append(out / "model.squashfs")
    unpacked = tmp_path / "unpacked"
    subprocess.run(["unsquashfs", "-d", unpacked, images[0]], check=True, capture_output=True)

    assert images[0].read_bytes() == images[1].read_bytes()
    files = [path for path in signed_bundle.rglob("*") if path.is_file()]
    assert {path: (unpacked / path.relative_to(signed_bundle)).read_bytes() for path in files} == {
        path: path.read_bytes() for path in files
    }


Install = Callable[[Path], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def board(tmp_path: Path, ca: Path, owner: Any) -> Install:
    """A board whose paths are below tmp_path; it installs what it is given."""
    if shutil.which("dbus-run-session") is None:
        pytest.skip("needs dbus-run-session: apt install dbus")
    device = tmp_path / "board"
    (device / "bin").mkdir(parents=True)
    text = (EXAMPLE / "system.conf").read_text()
    for old, new in {
        "/etc/rauc/ca.pem": ca / "ca.pem",
        "/usr/lib/rauc": device,
        "/var/lib/rauc": device,
        "/run/rauc": device / "mnt",
        "/dev/disk/by-partlabel": device,
        "/var/lib/echo-edge-staging.img": device / "staging.img",
    }.items():
        text = text.replace(old, str(new))
    (device / "system.conf").write_text(text)
    for name in ("rootfs-a", "rootfs-b", "staging.img"):
        (device / name).write_bytes(bytes(1 << 20))
    for path, script in (
        (device / "boot-backend", BOOT_BACKEND),
        (device / "bin/echo-edge", COMMAND.format(python=sys.executable)),
    ):
        path.write_text(script)
        path.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{device / 'bin'}:{os.environ['PATH']}",
        "ECHO_EDGE_ROOT": str(device / "root"),
        "ECHO_EDGE_KEYS": str(owner.trust),
    }

    def install(raucb: Path) -> subprocess.CompletedProcess[str]:
        command = ["dbus-run-session", "--", "sh", "-c", SERVE, "sh",
                   str(device / "system.conf"), str(raucb)]  # fmt: skip
        return subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, timeout=120
        )

    return install


def test_installs(raucb: Path, board: Install, tmp_path: Path, signed_bundle: Path) -> None:
    done = board(raucb)

    assert done.returncode == 0, done.stdout + done.stderr
    running = tmp_path / "board/root/current/manifest.json"
    assert running.read_bytes() == (signed_bundle / "manifest.json").read_bytes()


def test_a_model_that_echo_edge_refuses_fails_the_installation(
    ca: Path, board: Install, tmp_path: Path, make_owner: Any, signed_bundle: Path
) -> None:
    """Signed for RAUC, but with a model key that the board does not trust."""
    make_owner().sign(signed_bundle)

    done = board(_make(ca, signed_bundle, tmp_path / "evil.raucb"))

    assert done.returncode != 0
    assert not (tmp_path / "board/root/current").exists()


def test_by_tar_and_ssh(
    signed_bundle: Path, owner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an ssh that runs the command right here."""
    (tmp_path / "bin").mkdir()
    for name, script in (
        ("ssh", '#!/bin/sh\nshift\nexec "$@"\n'),
        ("echo-edge", COMMAND.format(python=sys.executable)),
    ):
        (tmp_path / "bin" / name).write_text(script)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("ECHO_EDGE_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("ECHO_EDGE_KEYS", str(owner.trust))

    done = subprocess.run(
        [EXAMPLE / "send.sh", signed_bundle, "board"], check=True, capture_output=True, text=True
    )

    assert done.stdout.startswith("installed null-v1.0-float32-null, build 5, signed by owner.pub")
    assert (tmp_path / "root/current/SIGNATURE").exists()
