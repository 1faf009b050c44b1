"""What `echo-edge doctor` says of recording and of devices: microphone, groups, disk, keys, clock.

None of it is needed by `echo-edge run`; each is found out by asking the system itself.
"""

import ctypes
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from echo_edge.audio import SAMPLE_RATE
from echo_edge.audio.quiet import quiet_c_stderr
from echo_edge.bundle.keys import trusted_keys
from echo_edge.cli.check import Check
from echo_edge.errors import EchoError
from echo_edge.recorder.devices import choose, input_devices, load_sounddevice

MIN_FREE_MIB = 256
"""`record` stops transcribing below this."""
FIRST_YEAR = 2026
"""Of this version: a clock before it was never set."""
_SOUND = Path("/dev/snd")
_UNSYNCHRONISED = 5
"""TIME_ERROR of adjtimex(2)."""


def examine_recording(keys: Path | None = None, folder: Path = Path()) -> Iterator[Check]:
    """All checks; recordings would go to `folder`, trusted keys are in `keys`."""
    yield from _microphone()
    yield from _groups()
    yield _disk(folder)
    yield _keys(keys or Path(os.environ.get("ECHO_EDGE_KEYS") or "/etc/echo-edge/keys"))
    yield _clock()


def _microphone() -> Iterator[Check]:
    """PortAudio, and whether the default microphone takes its own settings."""
    try:
        with quiet_c_stderr():  # PortAudio and ALSA explain themselves there at length
            sounddevice = load_sounddevice()
            found = input_devices(sounddevice)
    except EchoError as error:
        detail = str(error).removeprefix("microphone: ")
        yield Check("missing", "portaudio", detail, needed=False)
        return
    version = sounddevice.get_portaudio_version()[1].split(",")[0]
    detail = f"{version}, sounddevice {sounddevice.__version__}"
    yield Check("ok", "portaudio", detail, needed=False)
    if not found:
        detail = "none found: plug one in; in a container, pass /dev/snd"
        yield Check("missing", "microphone", detail, needed=False)
        return
    try:
        device = choose(found, None)
        with quiet_c_stderr():
            sounddevice.check_input_settings(device.index, 1, samplerate=device.rate)
    except EchoError as error:
        detail = str(error).removeprefix("microphone: ")
        yield Check("problem", "microphone", detail, needed=False)
    except (sounddevice.PortAudioError, ValueError) as error:
        detail = f"{device}: cannot be opened ({str(error).splitlines()[0]}): see who uses it"
        yield Check("problem", "microphone", detail, needed=False)
    else:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        yield Check("ok", "microphone", f"{device}{more}", needed=False)


def _groups() -> Iterator[Check]:
    """Whether this user may open the capture devices of ALSA; nothing where there are none."""
    devices = sorted(_SOUND.glob("pcm*c"))
    closed = [device for device in devices if not os.access(device, os.R_OK | os.W_OK)]
    if closed:
        detail = f"{closed[0]}: not for this user: sudo usermod -aG audio $USER, then log in again"
        yield Check("problem", "groups", detail, needed=False)
    elif devices:
        yield Check("ok", "groups", f"{len(devices)} capture devices may be opened", needed=False)


def _disk(folder: Path) -> Check:
    """How long a recording fits on the disk of a folder."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        detail = f"{folder}: cannot be read ({error.strerror}): go to another folder"
        return Check("problem", "disk", detail, needed=False)
    hours = free / (2 * SAMPLE_RATE * 3600)
    detail = f"{free / 2**30:.1f} GiB free here, {hours:.0f} h of recording"
    if free < MIN_FREE_MIB * 2**20:
        return Check("problem", "disk", f"{detail}: make room", needed=False)
    return Check("ok", "disk", detail, needed=False)


def _keys(folder: Path) -> Check:
    """Whose signatures this device accepts."""
    try:
        trusted = trusted_keys(folder)
    except EchoError as error:
        return Check("problem", "keys", str(error), needed=False)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    expired = [k for k in trusted.keys.values() if k.expires and str(k.expires) < today]
    if expired:
        detail = f"{folder / expired[0].file} expired on {expired[0].expires}: replace it"
        return Check("problem", "keys", detail, needed=False)
    if not trusted.keys:
        detail = f"none in {folder}: bundles are installed unsigned, or not at all"
        return Check("ok", "keys", detail, needed=False)
    return Check("ok", "keys", f"{len(trusted.keys)} trusted in {folder}", needed=False)


def _clock() -> Check:
    """The clock, and whether something keeps it right."""
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    if time.gmtime().tm_year < FIRST_YEAR:
        return Check("problem", "clock", f"{now}: was never set: sudo date -s ...", needed=False)
    if _synchronised() is False:
        detail = f"{now}, not synchronised: names of recordings may be wrong: enable NTP"
        return Check("problem", "clock", detail, needed=False)
    return Check("ok", "clock", now, needed=False)


def _synchronised() -> bool | None:
    """What the kernel says of its clock, None where it does not."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return None
    state = int(adjtimex(ctypes.create_string_buffer(512)))  # modes 0: nothing is changed
    return None if state < 0 else state != _UNSYNCHRONISED
