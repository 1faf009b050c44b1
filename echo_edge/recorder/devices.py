"""Which microphone: by name, by index, by ALSA name, and the same one again after it was unplugged.

One that could be meant by several is refused with the candidates: a meeting that was recorded with
the wrong microphone cannot be recorded again.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from echo_edge.errors import AudioError

_ALSA_HARDWARE = re.compile(
    r"(plug)?hw:(?:(?:CARD=)?(?P<card>[\w-]+))(?:,(?:DEV=)?(?P<device>\d+))?(?:,(?:SUBDEV=)?\d+)?"
)
_PORTAUDIO_HARDWARE = re.compile(r"\s*\(hw:(\d+),(\d+)\)$")
_CARDS = Path("/proc/asound")


@dataclass(frozen=True)
class Device:
    """An input device as PortAudio lists it."""

    index: int
    name: str
    channels: int
    rate: int
    is_default: bool

    def __str__(self) -> str:
        return f"{self.index}:{self.name} ({self.channels} channels, {self.rate} Hz)"

    @property
    def plain_name(self) -> str:
        """The name without the number of the ALSA card, which may change when it is plugged in."""
        return _PORTAUDIO_HARDWARE.sub("", self.name)

    def as_json(self) -> dict[str, Any]:
        """Its fields; `default` where the class has `is_default`."""
        fields = asdict(self)
        return fields | {"default": fields.pop("is_default")}


def load_sounddevice(wanted: str | None = None) -> ModuleType:
    """The sounddevice module; AudioError if it or PortAudio is not there or does not start.

    `wanted` is the device that will be asked for: PortAudio is asked to convert rates and channels
    before it starts, as `plughw` does, or not at all.
    """
    if (wanted or "").startswith("plughw:"):
        os.environ["PA_ALSA_PLUGHW"] = "1"
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise AudioError(
            "microphone: sounddevice is not installed here: pip install 'echo-edge[mic]'"
        ) from error
    except Exception as error:  # it starts PortAudio, whose errors are of many kinds
        raise AudioError(
            f"microphone: PortAudio does not start ({str(error).splitlines()[0]}): "
            "apt install libportaudio2, and check ~/.asoundrc"
        ) from error
    module: ModuleType = sounddevice
    return module


def input_devices(sounddevice: ModuleType) -> list[Device]:
    """Devices with at least one input channel."""
    default = sounddevice.default.device[0]
    return [
        Device(
            int(each["index"]),
            str(each["name"]),
            int(each["max_input_channels"]),
            round(each["default_samplerate"]),
            each["index"] == default,
        )
        for each in sounddevice.query_devices()
        if each["max_input_channels"] > 0
    ]


def choose(found: list[Device], wanted: str | None) -> Device:
    """The device that `wanted` names, the default one for None. AudioError, with all that could be
    meant, if there is none or more than one.

    In this order: the whole name; `INDEX:PART`, an index with a part of its name (which may be
    empty); an ALSA name such as `hw:1,0` or `plughw:CARD=USB`; an index, unless it is a part of
    another device's name as well; a part of one name, in any case.
    """
    if wanted is None:
        matches = [each for each in found if each.is_default] or found
    else:
        matches = [each for each in found if each.name == wanted] or _matches(found, wanted)
    if len(matches) == 1:
        return matches[0]
    asked = "an input device" if wanted is None else f"one called {wanted!r}"
    if matches:
        raise AudioError(
            f"microphone: found {len(matches)} that could be meant, {_list(matches)}, expected "
            f"{asked}: name one as INDEX:NAME, such as --device '{matches[0].index}:"
            f"{matches[0].plain_name}'"
        )
    raise AudioError(
        f"microphone: found {_list(found) or 'none at all'}, expected {asked}: "
        "plug it in, or name another (an ALSA name such as dsnoop:1 needs an entry in "
        "/etc/asound.conf)"
    )


def _matches(found: list[Device], wanted: str) -> list[Device]:
    part = wanted.lower()
    index, colon, rest = part.partition(":")
    if colon and index.isdecimal():
        return [x for x in found if x.index == int(index) and rest in x.name.lower()]
    if hardware := _ALSA_HARDWARE.fullmatch(wanted):
        place = (_card_number(hardware["card"]), hardware["device"] or "0")
        return [x for x in found if _place(x) == place]
    of_index = [x for x in found if wanted.isdecimal() and x.index == int(wanted)]
    if wanted.isdecimal() and not of_index:
        return []
    return [x for x in found if x in of_index or part in x.name.lower()]


def _place(device: Device) -> tuple[str, str] | None:
    """Number of the ALSA card, and of the device on it; None for what is no hardware."""
    found = _PORTAUDIO_HARDWARE.search(device.name)
    return (found[1], found[2]) if found else None


def _card_number(card: str) -> str:
    """The number of an ALSA card that may be given by its id."""
    try:
        return str((_CARDS / card).readlink()).removeprefix("card")
    except OSError:
        return card


def find_again(found: list[Device], ours: Device, beside: Iterable[str]) -> Device | None:
    """The device that was `ours`; None while it is not there. Never another one.

    Plugged in again it may have another index, and another number of its ALSA card; but not the
    name of one of those that were there `beside` it.
    """
    same = [each for each in found if each.name == ours.name]
    if not same and _place(ours) is not None:
        others = set(beside)
        same = [x for x in found if x.plain_name == ours.plain_name and x.name not in others]
    return same[0] if len(same) == 1 else next((x for x in same if x.index == ours.index), None)


def _list(devices: list[Device]) -> str:
    return ", ".join(map(str, devices))
