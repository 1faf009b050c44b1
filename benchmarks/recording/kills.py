"""The meeting recorder, killed: what is lost, who opens what is left, what recovery makes of it.

    python -m benchmarks.recording.kills [--times 200] [--at-once 4] [--seed 0] [--folder DIR]

Recorders of the demo conversation are ended by `kill -9` at random moments. Their files are opened
by soundfile and, where they are installed, sox and ffmpeg; then each session is recovered and
compared with an undisturbed run up to the cut. The last line of stdout is the result as JSON; the
exit code is 1 if a kill cost more than it may.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.recording.latency_and_soak import demo_audio, speak, start
from echo_edge.audio import SAMPLE_RATE
from echo_edge.bundle.find import find_bundle
from echo_edge.recorder import log
from echo_edge.recorder.messages import Line, rounded, to_line
from echo_edge.recorder.recordings import find_recordings, read_about
from echo_edge.recorder.recover import recover
from echo_edge.recorder.segments import Segment, segments
from echo_edge.session import Session, load, load_bundle

Samples = NDArray[np.int16]

MAX_LOST_S = 1.0
MIN_S, MAX_S = 0.3, 8.0
"""When to kill, seconds after the first sample."""


@dataclass(frozen=True)
class Kill:
    """One recorder that was killed."""

    folder: Path
    sent_s: float
    """What had gone into the recorder when it was killed."""
    saved_s: float
    """What its files hold."""
    played_s: dict[str, float]
    """What each player finds in them as they are; missing where a player refused."""
    exact: bool
    """Whether what they hold is, bit for bit, what was said."""


def kill_once(out: Path, audio: Samples, after_s: float) -> Kill:
    """Record `audio`, kill the recorder `after_s` seconds into it, look at what is left."""
    recorder = start(out, "--segment-min", "0.05")
    n_sent = 0
    for n_sent in speak(recorder, audio):
        if n_sent >= after_s * SAMPLE_RATE:
            break
    recorder.kill()
    recorder.wait()
    for pipe in (recorder.stdin, recorder.stdout):
        if pipe is not None:
            pipe.close()
    folder = find_recordings(out)[0]
    found = segments(folder)
    saved = [_samples(segment) for segment in found]
    exact = all(
        np.array_equal(audio[segment.start : segment.end], samples)
        for segment, samples in zip(found, saved, strict=True)
    )
    played = {name: 0.0 for name in ("soundfile", "sox", "ffmpeg") if _there(name)}
    for segment in found:
        for name in list(played):
            seconds = _played_s(name, segment.path)
            if seconds is None:
                del played[name]
            else:
                played[name] += seconds
    n_saved = found[-1].end if found else 0
    return Kill(folder, n_sent / SAMPLE_RATE, n_saved / SAMPLE_RATE, played, exact)


def recovered_alike(folder: Path, session: Session, audio: Samples) -> bool:
    """True if `--recover` finds the turns and words of an undisturbed run up to the cut, and keeps
    all that the recorder had already called final."""
    before = log.read_lines(folder / log.RESULTS)
    options = read_about(folder).options
    recover(folder, lambda threads: load_bundle(session.bundle, threads), lambda _: None)
    found = segments(folder)
    pcm = audio[: found[-1].end if found else 0].astype(np.float32) / np.float32(32768)
    stream = options.stream(session)
    parts = (stream.push(pcm), stream.finish())
    expected = [to_line(rounded(turn)) for part in parts for turn in part.turns]
    expected += [to_line(rounded(word)) for part in parts for word in part.words]
    after = [x for x in log.read_lines(folder / log.RESULTS) if x["type"] != "end"]
    return _sorted(after) == _sorted(expected) and all(line in after for line in before)


def _sorted(found: list[Line]) -> list[str]:
    return sorted(json.dumps(line, sort_keys=True) for line in found)


def _samples(segment: Segment) -> Samples:
    return np.frombuffer(segment.path.read_bytes()[44:], "<i2").astype(np.int16)


def _there(player: str) -> bool:
    return player == "soundfile" or shutil.which(player) is not None


def _played_s(player: str, path: Path) -> float | None:
    """Seconds that a player reads; None if it does not open the file."""
    if player == "soundfile":
        with suppress(soundfile.SoundFileError):
            return len(soundfile.read(path)[0]) / SAMPLE_RATE
        return None
    command = {
        "sox": ["sox", str(path), "-t", "raw", "-"],
        "ffmpeg": ["ffmpeg", "-v", "error", "-i", str(path), "-f", "s16le", "-"],
    }[player]
    done = subprocess.run(command, capture_output=True, check=False)
    # A file in which not one sample was heard yet is an error to ffmpeg, rightly.
    opened = done.returncode == 0 or path.stat().st_size == 44
    return len(done.stdout) / 2 / SAMPLE_RATE if opened else None


def kills(args: argparse.Namespace) -> dict[str, Any]:
    """Kill `--times` recorders, `--at-once` at a time, and recover what they left."""
    moments = random.Random(args.seed)  # noqa: S311 - not a secret
    audio = demo_audio()
    after_s = [moments.uniform(MIN_S, MAX_S) for _ in range(args.times)]
    root = Path(args.folder or tempfile.mkdtemp(prefix="echo-edge-kills-"))
    with ThreadPoolExecutor(args.at_once) as pool:
        found = list(
            pool.map(lambda n: kill_once(root / f"{n:03}", audio, after_s[n]), range(args.times))
        )
    with load(find_bundle(None)) as session:
        alike = [recovered_alike(kill.folder, _OpenSession(session), audio) for kill in found]
    players = sorted({name for kill in found for name in kill.played_s})
    lost_s = [kill.sent_s - kill.saved_s for kill in found]
    unplayed_s = {
        name: round(max(kill.sent_s - kill.played_s.get(name, -1e9) for kill in found), 3)
        for name in players
    }
    result: dict[str, Any] = {
        "kills": len(found),
        "lost_s_max": round(max(lost_s), 3),
        "lost_s_mean": round(float(np.mean(lost_s)), 3),
        "unplayed_s_max": unplayed_s,
        "exact": sum(kill.exact for kill in found),
        "recovered_alike": sum(alike),
    }
    shutil.rmtree(root)
    good = result["exact"] == result["recovered_alike"] == len(found)
    worst = max(*lost_s, *unplayed_s.values())
    return result | {"passed": bool(good and worst <= MAX_LOST_S)}


class _OpenSession(Session):
    """A session that whoever borrows it cannot close."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.bundle, session.threads, session.engines)

    def close(self) -> None:
        """Stays open."""


def main(arguments: list[str] | None = None) -> int:
    """Kill, look, recover; 1 if anything was lost that must not be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=200, help="recorders to kill (200)")
    parser.add_argument("--at-once", type=int, default=4, help="at a time (4)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", help="for the recordings; default: a temporary one")
    result = kills(parser.parse_args(arguments))
    print(json.dumps(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
