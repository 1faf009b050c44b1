"""A microphone through PortAudio: chosen by name, taken up again after it was unplugged.

PortAudio calls back on its own thread; the callback copies and returns. What it should have been
given and was not shows in the clock: see LossMeter.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import SAMPLE_RATE
from echo_edge.audio.channels import AUTO, MIX, Downmix
from echo_edge.audio.quiet import quiet_c_stderr
from echo_edge.errors import AudioError
from echo_edge.recorder.capture import BLOCK_S, Block, BlockQueue
from echo_edge.recorder.devices import choose, find_again, input_devices, load_sounddevice

SILENT_S = 2.0
"""A device that delivers nothing for this long is gone."""
RETRY_S = 2.0
_WINDOW_S = 2.0
_MIN_LOSS_S = 0.05


class LossMeter:
    """Finds frames that never came, from when the others came.

    A block may be late, but the least delay of two seconds' blocks hardly moves (clocks drift by
    less than 0.2 ms in that time), unless frames are missing: then it jumps by their duration.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._received_s = 0.0
        self._window_start_s: float | None = None
        self._min_s = np.inf
        self._usual_s: float | None = None

    def add(self, now_s: float, n_frames: int) -> float:
        """Take in a block that came at `now_s`, on a monotonic clock; seconds found missing."""
        self._received_s += n_frames / self._rate
        if self._window_start_s is None:
            self._window_start_s = now_s
        self._min_s = min(self._min_s, now_s - self._received_s)
        if now_s - self._window_start_s < _WINDOW_S:
            return 0.0
        min_s, self._min_s, self._window_start_s = self._min_s, np.inf, now_s
        missing_s = 0.0 if self._usual_s is None else min_s - self._usual_s
        if missing_s < _MIN_LOSS_S:
            self._usual_s = min_s
            return 0.0
        self._received_s += missing_s
        return missing_s


class Microphone:
    """The input device that `device` names (see `devices.choose`), or the default one.

    Raises AudioError if PortAudio is missing, or if there is no such device or more than one;
    UsageError if it has no such `channel` (see `channels.parse_channel`).
    """

    def __init__(self, device: str | None, channel: str = AUTO) -> None:
        self._sounddevice = load_sounddevice(device)
        found = input_devices(self._sounddevice)
        self._device = choose(found, device)
        self._beside = [each.name for each in found if each != self._device]
        self.name = self._device.name
        self.problem: str | None = None
        self._needs_all = channel not in (AUTO, MIX)
        self.downmix = Downmix(channel, self.name)
        self.downmix.push(np.zeros((0, self._device.channels), np.float32), SAMPLE_RATE)  # raises
        self._ended_s: float | None = None
        """When the last frame arrived, on the monotonic clock."""

    @property
    def finding(self) -> str:
        """See AudioInput."""
        return self.downmix.finding

    def run(self, queue: BlockQueue, stop: threading.Event) -> None:
        """Put blocks into `queue` until `stop` is set; a device that goes is waited for."""
        is_there = True
        with quiet_c_stderr():  # PortAudio, ALSA and JACK explain themselves there at length
            while not stop.is_set():
                try:
                    if is_there:
                        self._record(queue, stop)
                except (self._sounddevice.PortAudioError, AudioError, OSError) as error:
                    self.problem = self.problem or f"{self.name}: {str(error).splitlines()[0]}"
                if not stop.wait(RETRY_S):
                    is_there = self._look_again()

    def _look_again(self) -> bool:
        """Whether the same device is there. PortAudio lists devices only once, when it starts."""
        with suppress(self._sounddevice.PortAudioError):
            self._sounddevice._terminate()
        try:
            self._sounddevice._initialize()
            found = input_devices(self._sounddevice)
        except self._sounddevice.PortAudioError as error:
            self.problem = f"{self.name}: not found ({str(error).splitlines()[0]})"
            return False
        again = find_again(found, self._device, self._beside)
        if again is None:
            self.problem = f"{self.name}: not found; waiting for it to come back"
            return False
        self._device, self.name = again, again.name
        self._beside = [each.name for each in found if each != again]
        return True

    def _record(self, queue: BlockQueue, stop: threading.Event) -> None:
        """Until `stop`; AudioError once nothing comes any more."""
        with self._open(queue) as stream:
            opened_s = time.monotonic()
            while not stop.wait(BLOCK_S):
                last_frame_s = max(opened_s, self._ended_s or 0.0)
                if not stream.active or time.monotonic() - last_frame_s > SILENT_S:
                    raise AudioError("delivers no audio; waiting for it to come back")

    def _open(self, queue: BlockQueue) -> Any:
        """At 16 kHz and mono where the device can, else at its own rate and with all channels."""
        own = (self._device.rate, self._device.channels)
        formats = dict.fromkeys([(SAMPLE_RATE, 1), (SAMPLE_RATE, own[1]), (own[0], 1), own])
        if self._needs_all:
            formats = dict.fromkeys([(SAMPLE_RATE, own[1]), own])
        for number, (rate, channels) in enumerate(formats, 1):
            try:
                return self._sounddevice.InputStream(
                    device=self._device.index,
                    samplerate=rate,
                    channels=channels,
                    dtype="float32",
                    blocksize=round(rate * BLOCK_S / 2),
                    latency="high",  # the device's own buffer is the first line of defence
                    callback=self._callback(queue, rate),
                )
            except self._sounddevice.PortAudioError:
                if number == len(formats):
                    raise
        raise AudioError("has no input channel")

    def _callback(self, queue: BlockQueue, rate: int) -> Callable[..., None]:
        """The function for PortAudio to call with every block of a stream that was just opened."""
        meter, first = LossMeter(rate), True

        def callback(data: NDArray[np.float32], n_frames: int, _: Any, status: Any) -> None:
            nonlocal first
            now_s = time.monotonic()
            queue.n_overruns += status.input_overflow
            gap_s = meter.add(now_s, n_frames)
            queue.lost_s += gap_s
            if first and self._ended_s is not None:
                gap_s = max(0.0, now_s - n_frames / rate - self._ended_s)
            first, self._ended_s, self.problem = False, now_s, None
            queue.put(Block(data.copy(), rate, gap_s))

        return callback
