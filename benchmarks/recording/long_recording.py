"""Cost and memory by the length of a recording: constant, if the runtime keeps its promise.

    python -m benchmarks.recording.long_recording [--minutes 1,10,60] [--bundle DIR] [--audio FILE]

A recording of each length is made up by repeating an audio file, read block by block, and streamed
with all heads in a process of its own, as fast as it goes; memory is read after every minute of
audio. The last line of stdout is the result as JSON.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import SAMPLE_RATE, read_blocks
from echo_edge.board.info import memory_mib
from echo_edge.bundle.find import find_bundle
from echo_edge.bundle.verify import open_bundle
from echo_edge.errors import AudioError, EchoError, UsageError
from echo_edge.session import load

Array = NDArray[np.float32]

ROOT = Path(__file__).parents[2]
AUDIO = ROOT / "demo/conversation.flac"
BLOCK_S = 1.0
LATENCY_S = 2.0


def stream_minutes(bundle: str, audio: str, minutes: int) -> dict[str, Any]:
    """Stream `minutes` of repeated audio; times and memory of this process, which should be new."""
    with load(bundle) as session:
        stream = session.stream(LATENCY_S, on_sources=_discard)
        rss_mib: list[float] = []
        heard, turns, words = 0, 0, 0
        started = time.perf_counter()
        for block in _repeated(audio, minutes * 60 * SAMPLE_RATE):
            part = stream.push(block)
            turns += len(part.turns)
            words += len(part.words)
            heard += len(block)
            if heard // (60 * SAMPLE_RATE) > len(rss_mib):
                rss_mib.append(round(memory_mib().rss_mib, 2))
        part = stream.finish()
        wall_s = time.perf_counter() - started
        rss_mib[-1] = round(memory_mib().rss_mib, 2)
        return {
            "minutes": minutes,
            "rtf": round(wall_s / (60 * minutes), 5),
            "wall_s": round(wall_s, 2),
            "rss_mib": rss_mib,
            "rss_mib_peak": round(memory_mib().peak_rss_mib, 2),
            "turns": turns + len(part.turns),
            "words": words + len(part.words),
        }


def _repeated(audio: str, n_samples: int) -> Iterator[Array]:
    """Blocks of the audio, from its start again and again, `n_samples` in all."""
    left = n_samples
    while left:
        before = left
        for block in read_blocks(audio, BLOCK_S):
            taken = block[:left]
            left -= len(taken)
            yield taken
            if not left:
                return
        if left == before:
            raise AudioError(f"{audio}: holds no samples, expected speech")


def _discard(sources: Array) -> None:
    """Separation runs only for somebody who takes what it makes."""


def _afresh(bundle: str, audio: str, minutes: int) -> dict[str, Any]:
    command = (
        sys.executable,
        "-m",
        "benchmarks.recording.long_recording",
        bundle,
        audio,
        str(minutes),
    )
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise EchoError(f"{minutes} minutes: the process ended with {done.returncode}, see above")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def table(results: list[dict[str, Any]]) -> str:
    """One row per length; growth is from the first minute to the end."""
    lines = [
        "| minutes |    RTF | RSS minute 1 | RSS end | growth | peak MiB | turns | words |",
        "|---------|--------|--------------|---------|--------|----------|-------|-------|",
    ]
    for result in results:
        first, last = result["rss_mib"][0], result["rss_mib"][-1]
        lines.append(
            f"| {result['minutes']:7} | {result['rtf']:.4f} | {first:12.1f} | {last:7.1f} | "
            f"{last - first:+6.1f} | {result['rss_mib_peak']:8.1f} | {result['turns']:5} | "
            f"{result['words']:5} |"
        )
    return "\n".join(lines)


def _minutes(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--minutes: found {text!r}, expected whole minutes such as 1,10,60")
    return tuple(map(int, parts))


def main(argv: list[str] | None = None) -> int:
    """Print the table of all lengths; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=_minutes, default=(1, 10, 60), metavar="N,N")
    parser.add_argument("--bundle", metavar="DIR")
    parser.add_argument("--audio", metavar="FILE", default=str(AUDIO))
    try:
        args = parser.parse_args(argv)
        bundle = open_bundle(find_bundle(args.bundle))
        audio = str(Path(args.audio).resolve())
        results = []
        for minutes in args.minutes:
            results.append(_afresh(str(bundle.path), audio, minutes))
            print(f"{minutes} minutes done", file=sys.stderr)
    except EchoError as error:
        print(f"long_recording: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{bundle.manifest.name}, {Path(audio).name} repeated, all heads, latency {LATENCY_S} s")
    print(table(results))
    print(json.dumps({"bundle": bundle.sha256, "lengths": results}, allow_nan=False))
    return 0


if __name__ == "__main__":
    if sys.argv[1:] and not sys.argv[1].startswith("-"):  # the process for one length
        try:
            print(json.dumps(stream_minutes(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
        except EchoError as problem:
            sys.exit(f"long_recording: {problem}")
    else:
        sys.exit(main())
