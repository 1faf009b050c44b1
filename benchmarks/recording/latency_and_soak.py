"""The meeting recorder over time: how late words are, what it eats.

    python -m benchmarks.recording.latency_and_soak latency [--seconds 60]
    python -m benchmarks.recording.latency_and_soak soak [--hours 2] [--pace 20]

The first feeds audio at the pace of speech, the second prints CPU and memory by the minute.

Audio goes in through stdin, so that this program knows what had been said at any moment. All
heads run, on the bundle that `echo-edge record` would choose, but for separation. The last line of
stdout is the result as JSON. What a kill costs: `benchmarks.recording.kills`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import SAMPLE_RATE, read_blocks
from echo_edge.recorder import log
from echo_edge.recorder.messages import Line
from echo_edge.recorder.recordings import find_recordings

Samples = NDArray[np.int16]

AUDIO = Path(__file__).parents[2] / "demo/conversation.flac"
BLOCK = SAMPLE_RATE // 20


def demo_audio() -> Samples:
    """The shipped conversation, int16."""
    return np.rint(np.concatenate(list(read_blocks(AUDIO))) * 32768).astype(np.int16)


def start(out: Path, *options: str) -> "subprocess.Popen[bytes]":
    """A recorder that reads stdin and has begun."""
    code = "import sys; from echo_edge.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "record", "--out", str(out), "--wav", "-", "--json"]
    recorder = subprocess.Popen(
        [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert recorder.stdout is not None  # noqa: S101 - a pipe was asked for
    if b'"start"' not in recorder.stdout.readline():
        raise RuntimeError(f"the recorder ended with {recorder.wait()} before it began")
    return recorder


def speak(recorder: "subprocess.Popen[bytes]", audio: Samples, pace: float = 1.0) -> Iterator[int]:
    """Feed `audio` at its own pace times `pace`; how many samples went in so far."""
    assert recorder.stdin is not None  # noqa: S101 - a pipe was asked for
    began = time.monotonic()
    for first in range(0, len(audio), BLOCK):
        block = audio[first : first + BLOCK]
        due = began + (first + len(block)) / SAMPLE_RATE / pace
        time.sleep(max(0.0, due - time.monotonic()))
        recorder.stdin.write(block.astype("<i2").tobytes())
        yield first + len(block)


def latency(args: argparse.Namespace) -> dict[str, Any]:
    """Delay of turns and words: until first shown, and until final.

    A turn is shown late by the time from its start, all else from the end. What is shown counts for
    a turn from the first time that its speaker is said to speak then, for a word from the first
    time that it stands there spelled as it will be for good.
    """
    audio = demo_audio()[: round(args.seconds * SAMPLE_RATE)]
    with tempfile.TemporaryDirectory() as out:
        recorder = start(Path(out), "--latency-s", str(args.latency_s), "--tentative")
        folder = find_recordings(Path(out))[0]
        _wait_for(folder / log.RESULTS)
        final: list[Reported] = []
        shown: list[Reported] = []
        began = time.monotonic()
        hearing = Thread(target=_listen, args=(recorder, shown, began))
        hearing.start()
        for _ in speak(recorder, audio):
            found = log.read_lines(folder / log.RESULTS)[len(final) :]
            final += [(time.monotonic() - began, line) for line in found]
        recorder.stdin.close()  # type: ignore[union-attr] # a pipe was asked for
        hearing.join()
        recorder.wait(timeout=3600)
    measured = {
        "turn_shown_late_s": _first_shown(final, shown, "turn"),
        "turn_final_late_s": [at_s - x["end_s"] for at_s, x in final if x["type"] == "turn"],
        "word_shown_late_s": _first_shown(final, shown, "word"),
        "word_final_late_s": [at_s - x["end_s"] for at_s, x in final if x["type"] == "word"],
    }
    return {
        "audio_s": len(audio) / SAMPLE_RATE,
        "latency_s": args.latency_s,
        **{name: _spread(values) for name, values in measured.items() if values},
    }


Reported = tuple[float, Line]
"""When, in seconds from the start, and what."""


def _listen(recorder: "subprocess.Popen[bytes]", shown: list[Reported], began: float) -> None:
    """Note every line of the recorder, and when it came."""
    assert recorder.stdout is not None  # noqa: S101 - a pipe was asked for
    with recorder.stdout as messages:
        shown.extend((time.monotonic() - began, json.loads(text)) for text in messages)


def _first_shown(final: list[Reported], shown: list[Reported], kind: str) -> list[float]:
    """Delay until each final line of a kind was first seen, itself or among tentative ones."""
    late_s = []
    for final_s, line in final:
        if line["type"] != kind:
            continue
        times_s = [at_s for at_s, x in shown if any(_same(line, y) for y in x.get(f"{kind}s", ()))]
        due_s = line["start_s"] if kind == "turn" else line["end_s"]
        late_s.append(min([final_s, *times_s]) - due_s)
    return late_s


def _same(final: Line, tentative: Line) -> bool:
    """True if both lines show the same speaker or word."""
    key = "speaker" if final["type"] == "turn" else "text"
    apart = tentative["start_s"] >= final["end_s"] or tentative["end_s"] <= final["start_s"]
    return tentative[key] == final[key] and not apart


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "n": len(values),
        **{f"p{p}": round(float(np.percentile(values, p)), 2) for p in (50, 90, 99)},
        "max": round(max(values), 2),
    }


def soak(args: argparse.Namespace) -> dict[str, Any]:
    """Memory and CPU of the recorder and of its transcriber, minute by minute of audio."""
    audio = demo_audio()
    n_repeats = int(args.hours * 3600 * SAMPLE_RATE / len(audio)) + 1
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(dir=args.folder) as out:
        recorder = start(Path(out), "--finish-s", "3600", "--keep-gib", "0.25")
        child = _child_of(recorder.pid)
        for number in range(n_repeats):
            for _ in speak(recorder, audio, args.pace):
                pass
            sent_s = (number + 1) * len(audio) / SAMPLE_RATE
            row = {"said_s": round(sent_s)} | _eaten("recorder", recorder.pid)
            rows.append(row | _eaten("transcriber", child))
        _end(recorder)
        folder = find_recordings(Path(out))[0]
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    last = rows[-1]
    return {
        "hours": round(last["said_s"] / 3600, 2),
        "exit_code": recorder.returncode,
        "duration_s": result["audio"]["duration_s"],
        "words": len(result["words"]),
        "rss_mib_by_quarter": {
            name: [rows[len(rows) * n // 4][f"{name}_rss_mib"] for n in range(4)]
            + [last[f"{name}_rss_mib"]]
            for name in ("recorder", "transcriber")
        },
        "cpu_share": {
            name: round(last[f"{name}_cpu_s"] / last["said_s"], 4)
            for name in ("recorder", "transcriber")
        },
        "cpu_share_by_quarter": {
            name: [
                round(_share(rows, name, len(rows) * n // 4, len(rows) * (n + 1) // 4 - 1), 4)
                for n in range(4)
            ]
            for name in ("recorder", "transcriber")
        },
    }


def _share(rows: list[dict[str, float]], name: str, first: int, last: int) -> float:
    audio_s = max(rows[last]["said_s"] - rows[first]["said_s"], 1.0)
    return (rows[last][f"{name}_cpu_s"] - rows[first][f"{name}_cpu_s"]) / audio_s


def _eaten(name: str, pid: int) -> dict[str, float]:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    kib = int(status.split("VmRSS:")[1].split()[0])
    ticks = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[11:13]
    cpu_s = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return {f"{name}_rss_mib": round(kib / 1024, 1), f"{name}_cpu_s": cpu_s}


def _child_of(pid: int) -> int:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    while not path.read_text(encoding="ascii").split():
        time.sleep(0.01)
    return int(path.read_text(encoding="ascii").split()[0])


def _wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def _end(recorder: "subprocess.Popen[bytes]") -> None:
    """The end of the audio; then all that the recorder still has to say."""
    recorder.communicate(timeout=3600)


def main(arguments: list[str] | None = None) -> int:
    """Run one measurement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(required=True)
    waiting = actions.add_parser("latency")
    waiting.add_argument("--seconds", type=float, default=60.0)
    waiting.add_argument("--latency-s", type=float, default=2.0)
    waiting.set_defaults(run=latency)
    soaking = actions.add_parser("soak")
    soaking.add_argument("--hours", type=float, default=2.0)
    soaking.add_argument("--pace", type=float, default=20.0)
    soaking.add_argument("--folder", help="for the recordings; default: the temporary folder")
    soaking.set_defaults(run=soak)
    args = parser.parse_args(arguments)
    print(json.dumps(args.run(args)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
