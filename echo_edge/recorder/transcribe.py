"""From a recording's audio to its results, while it is recorded or afterwards: one code path.

As a process of the recorder (`python -m echo_edge.recorder.transcribe RECORDING BUNDLE`) it
follows the recording as it grows, takes commands from stdin, one a line, and writes messages to
stdout as JSON lines. The end of stdin without `stop` means that the recorder is gone: it goes too,
and `--recover` finishes the work.

    hold, go              no room for results: wait; go on
    forget FIRST END      delete the speech between two samples
    stop                  no more audio comes: finish
"""

import os
import selectors
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from echo_edge import files
from echo_edge.audio import SAMPLE_RATE
from echo_edge.bundle.find import find_bundle
from echo_edge.errors import EchoError
from echo_edge.recorder.log import RESULTS, MessageLog, forget_in, read_messages
from echo_edge.recorder.messages import (
    End,
    Failure,
    Message,
    Progress,
    Ready,
    Signal,
    SpeakerName,
    Speech,
    Tentative,
    dump,
    forget_between,
    rounded,
    to_result,
)
from echo_edge.recorder.options import Options, Report
from echo_edge.recorder.recordings import read_about
from echo_edge.recorder.segments import Samples, SegmentReader, segments
from echo_edge.result import Result, Turn, Word
from echo_edge.session import Session, load
from echo_edge.stream import Stream
from echo_edge.writers import formats

GAP_S = 5.0
"""So much silence replaces a longer gap: enough for every word and turn before it to end."""
SIGNAL_SAMPLES = 60 * SAMPLE_RATE
"""As often as this, and at the end, it is reported if the signal is not nominal."""
_POLL_S = 0.05
_SYNC_S = 1.0


class Timeline:
    """From the time of the stream, which is spared long gaps, to that of the recording."""

    def __init__(self) -> None:
        self._pushed, self._places = [0], [0]

    def jump(self, n_pushed: int, place: int) -> None:
        """From the stream's sample `n_pushed` on, it is the recording's `place`."""
        self._pushed.append(n_pushed)
        self._places.append(place)

    def recording_s(self, stream_s: float) -> float:
        """The recording's time of a time of the stream, both in seconds."""
        at = max(bisect_right(self._pushed, stream_s * SAMPLE_RATE + 1e-3) - 1, 0)
        return stream_s + (self._places[at] - self._pushed[at]) / SAMPLE_RATE


class Transcriber:
    """Pushes a recording's audio through a stream and logs what becomes final."""

    def __init__(self, folder: Path, stream: Stream, log: MessageLog, report: Report) -> None:
        self._folder, self._stream, self._log, self._report = folder, stream, log, report
        self._reader = SegmentReader(folder)
        self._timeline = Timeline()
        self._n_pushed = 0
        self._place = 0
        self._forgotten: list[tuple[float, float]] = []
        self._names: dict[str, str] = {}
        self._logged: set[str | None] = set()
        """Speakers of the turns and words in the log."""
        self._tentative: Tentative | None = None
        """As reported last."""
        self._synced_s = time.monotonic()
        self.busy_s = 0.0
        """Time spent in the stream."""

    def step(self) -> bool:
        """Process what is there, at most half a second; whether anything was."""
        found = self._reader.read()
        if found is None:
            self._sync()
            return False
        place, samples = found
        if place < self._place:  # storage failed, and a part of what we processed is there again
            samples = samples[self._place - place :]
            place = self._place
            if not len(samples):
                return True
        if place != self._place:
            self._push(np.zeros(min(place - self._place, round(GAP_S * SAMPLE_RATE)), np.int16))
            self._timeline.jump(self._n_pushed, place)
        self._place = place + len(samples)
        self._push(samples)
        self._report(Progress(self._place / SAMPLE_RATE))
        self._sync()
        return True

    def finish(self) -> None:
        """Log what the stream still holds back; there is no more audio."""
        result = self._stream.finish()
        self._emit(result)
        self._report(Signal(self._stream.signal_finding))
        for label, name in self._names.items():
            if label in self._logged:  # and not of somebody all of whose speech was deleted
                self._log.write(SpeakerName(label, name))
        self._log.write(End(round(float(result.speaker_count.confidence), 4)))
        self._log.sync()

    def close(self) -> None:
        """Close the files, whatever is left to do."""
        self._reader.close()
        self._log.close()

    def forget(self, first: int, end: int) -> None:
        """Delete the speech from sample `first` to `end`, also what is yet to be decided."""
        self._forgotten.append((first / SAMPLE_RATE, end / SAMPLE_RATE))
        self._log.close()
        forget_in(self._folder, *self._forgotten[-1])
        found = read_messages(self._folder / RESULTS)
        self._logged = {each.speaker for each in found if isinstance(each, Turn | Word)}
        self._log = MessageLog(self._folder / RESULTS)

    def _push(self, samples: Samples) -> None:
        started = time.monotonic()
        result = self._stream.push(samples.astype(np.float32) / np.float32(32768))
        self.busy_s += time.monotonic() - started
        self._n_pushed += len(samples)
        self._emit(result)
        if self._n_pushed // SIGNAL_SAMPLES > (self._n_pushed - len(samples)) // SIGNAL_SAMPLES:
            self._report(Signal(self._stream.signal_finding))

    def _emit(self, result: Result) -> None:
        for speaker in result.speakers:
            if speaker.name is not None and speaker.id not in self._names:
                self._names[speaker.id] = speaker.name
                self._report(SpeakerName(speaker.id, speaker.name))
        items: list[Turn | Word] = [*self._placed(result.turns), *self._placed(result.words)]
        for item in items:
            self._log.write(item)
            self._logged.add(item.speaker)
            self._report(item)
        turns, words = result.tentative.turns, result.tentative.words
        tentative = Tentative(tuple(self._placed(turns)), tuple(self._placed(words)))
        if tentative != self._tentative:
            self._tentative = tentative
            self._report(tentative)

    def _placed(self, found: tuple[Speech, ...]) -> list[Speech]:
        """Turns or words with the recording's times, without what was deleted."""
        placed = [self._on_time_line(rounded(item)) for item in found]
        for start_s, end_s in self._forgotten:
            placed = forget_between(placed, start_s, end_s)
        return placed

    def _on_time_line(self, item: Speech) -> Speech:
        start_s, end_s = map(self._timeline.recording_s, (item.start_s, item.end_s))
        return replace(item, start_s=round(start_s, 4), end_s=round(end_s, 4))

    def _sync(self) -> None:
        if time.monotonic() - self._synced_s >= _SYNC_S:
            self._log.sync()
            self._synced_s = time.monotonic()


def write_results(folder: Path, session: Session, busy_s: float) -> None:
    """Write `result.json`, `.rttm` and `.vtt` once all audio is processed; JSON comes last, for it
    says that the recording is complete. Raises OutputError."""
    duration_s = max((segment.end for segment in segments(folder)), default=0) / SAMPLE_RATE
    result = to_result(read_messages(folder / RESULTS), duration_s)
    for name in ("vtt", "rttm", "json"):
        text = formats.render(
            result,
            name,
            audio=formats.AudioInfo(folder.name, duration_s, SAMPLE_RATE),
            bundle=formats.bundle_info(session),
            timing=formats.Timing(busy_s / duration_s if duration_s else None, busy_s),
        )
        files.save(text, folder / f"result.{name}")


def follow(
    folder: Path, session: Session, options: Options, commands: Iterator[str | None], report: Report
) -> bool:
    """Transcribe a recording while it grows; whether it was finished.

    `commands` yields None where there is none at the moment.
    """
    log = MessageLog(folder / RESULTS)
    with closing(Transcriber(folder, options.stream(session, report), log, report)) as transcriber:
        finished = _obey(transcriber, commands)
    if finished:
        write_results(folder, session, transcriber.busy_s)
    return finished


def _obey(transcriber: Transcriber, commands: Iterator[str | None]) -> bool:
    """Process what comes until a command, or the end of commands, ends it; whether it is all."""
    stopping = waits = False
    for command in commands:
        match command.split() if command else []:
            case ["stop"]:
                stopping = True
            case ["hold" | "go" as word]:
                waits = word == "hold"
            case ["forget", first, end]:
                transcriber.forget(int(first), int(end))
        if waits:
            if stopping:
                return False
            time.sleep(_POLL_S)
        elif not transcriber.step():
            if stopping:
                transcriber.finish()
                return True
            time.sleep(_POLL_S)
    return False


def _stdin_commands() -> Iterator[str | None]:
    """Lines of stdin as they come, None while there is none, until it ends."""
    selector, waiting = selectors.DefaultSelector(), b""
    selector.register(0, selectors.EVENT_READ)
    while True:
        if selector.select(0):
            data = os.read(0, 4096)
            if not data:
                return
            *whole, waiting = (waiting + data).split(b"\n")
            yield from (line.decode() for line in whole)
        yield None


def _print(message: Message) -> None:
    sys.stdout.write(dump(message))
    sys.stdout.flush()


def _give_way() -> None:
    """On a busy board the recorder comes first; on one that runs out of memory we go first."""
    with suppress(OSError):
        os.nice(5)
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def main(arguments: list[str]) -> int:
    """The recorder's process; 0 if all was processed, 1 if not."""
    _give_way()
    os.umask(0o077)
    folder, bundle = Path(arguments[0]), arguments[1] or None
    try:
        options = read_about(folder).options
        with load(find_bundle(bundle), options.threads) as session:
            _print(Ready())
            return 0 if follow(folder, session, options, _stdin_commands(), _print) else 1
    except EchoError as error:
        with suppress(BrokenPipeError):
            _print(Failure(str(error)))
        return error.exit_code
    except FileNotFoundError as error:  # storage that went away, or a recording that was deleted
        with suppress(BrokenPipeError):
            _print(Failure(f"{folder}: {error.strerror}"))
        return 1
    except BrokenPipeError:  # the recorder was killed; what it left is for `--recover`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
