"""The system service: its files are where they belong, mean something to systemd, and start what
the command line understands."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from echo_edge import cli
from echo_edge.recorder.options import Settings

FOLDER = Path(__file__).parents[2] / "firmware_examples/meeting_recorder"
UNITS = ("echo-edge-recorder.service", "echo-edge-recover.service")


def _settings(unit: str) -> dict[str, str]:
    text = (FOLDER / unit).read_text(encoding="utf-8")
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def _install(image: Path) -> None:
    environment = {"DESTDIR": str(image), "PATH": "/usr/bin:/bin"}
    subprocess.run(["sh", FOLDER / "install.sh"], env=environment, check=True)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with the service installed."""
    _install(tmp_path)
    return tmp_path


def test_install(image: Path) -> None:
    files = sorted(str(p.relative_to(image)) for p in image.rglob("*") if p.is_file())

    assert files == [
        "etc/echo-edge/recorder.conf",
        "etc/systemd/system/echo-edge-recorder.service",
        "etc/systemd/system/echo-edge-recover.service",
        "etc/sysusers.d/echo-edge-recorder.conf",
        "etc/udev/rules.d/60-echo-edge-microphone.rules",
    ]


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o000])
def test_all_can_read_what_is_installed(tmp_path: Path, umask: int) -> None:
    """Under any umask of root's: systemd, udev and the service's user are others."""
    before = os.umask(umask)
    try:
        _install(tmp_path / "image")
    finally:
        os.umask(before)

    modes = {p.stat().st_mode & 0o777 for p in (tmp_path / "image").rglob("*") if p.is_file()}
    folders = {p.stat().st_mode & 0o777 for p in (tmp_path / "image").rglob("*") if p.is_dir()}
    assert (modes, folders) == ({0o644}, {0o755})


def test_installing_again_keeps_the_configuration(image: Path) -> None:
    (image / "etc/echo-edge/recorder.conf").write_text("OPTIONS=mine\n")

    _install(image)

    assert (image / "etc/echo-edge/recorder.conf").read_text() == "OPTIONS=mine\n"


@pytest.mark.parametrize("unit", UNITS)
def test_units_start_what_there_is(unit: str) -> None:
    """Their options, and those of the shipped configuration, are the command's."""
    configured = (FOLDER / "recorder.conf").read_text(encoding="utf-8")
    options = re.findall(r'^OPTIONS="(.*)"', configured, re.MULTILINE)[0]
    suggested = re.findall(r"^#   (--[a-z-]+(?: [A-Z0-9]\w*)?)", configured, re.MULTILINE)
    command = _settings(unit)["ExecStart"].replace("$OPTIONS", " ".join([options, *suggested]))
    program, *arguments = shlex.split(command)

    args = cli._parser(arguments).parse_args(arguments)

    assert program == "/opt/echo-edge/bin/echo-edge"
    assert args.quiet or args.recover is not None
    assert (args.out or args.recover) == Path("/var/lib") / _settings(unit)["StateDirectory"]
    assert len(suggested) == 4


def test_stopping_leaves_time_for_results() -> None:
    assert int(_settings(UNITS[0])["TimeoutStopSec"]) > Settings.finish_s


@pytest.mark.parametrize("unit", UNITS)
def test_units_are_closed(unit: str) -> None:
    settings = _settings(unit)

    for name in ("PrivateNetwork", "NoNewPrivileges", "ProtectHome", "RestrictNamespaces"):
        assert settings[name] == "yes"
    assert settings["ProtectSystem"] == "strict"
    assert settings["CapabilityBoundingSet"] == ""
    assert settings["RestrictAddressFamilies"] == "AF_UNIX"
    assert settings["User"] == "echo-edge"
    assert settings["UMask"] == "0077"


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_the_units(unit: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze: apt install systemd")
    text = (
        (FOLDER / unit)
        .read_text(encoding="utf-8")
        .replace("/opt/echo-edge/bin/echo-edge", "/bin/true")
    )
    (tmp_path / unit).write_text(text, encoding="utf-8")

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", tmp_path / unit],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    complaints = [line for line in done.stderr.splitlines() if unit in line]
    assert (done.returncode, complaints) == (0, [])
