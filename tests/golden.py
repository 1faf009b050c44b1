"""Golden results of a checkout, as JSON, so that two checkouts can be compared:

    python tests/golden.py CHECKOUT > before.json
    python tests/golden.py . > after.json
    diff before.json after.json

Turns, words, speakers and separated voices of the demonstration at three latencies, those of the
self-test's clip, the keys of a bench record, and the bytes of the shipped bundle. With
`--export CHECKPOINT` also the bytes of a bundle made anew, which takes minutes.
Everything runs in processes of its own with the checkout's code, through the command line only.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-c", "import sys; from echo_edge.cli import main; sys.exit(main())")
LATENCIES_S = ("0.5", "2", "inf")
BUNDLE = "echo_edge/default_bundle"
MEASURED = ("timing",)
"""Keys of a result that differ from run to run."""


def echo_edge(checkout: Path, *arguments: str) -> str:
    """What the checkout's `echo-edge` prints. CalledProcessError if it fails."""
    path = os.pathsep.join([str(checkout), str(checkout / "export")])
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def result(checkout: Path, audio: str, latency_s: str, *, separate: bool) -> dict[str, Any]:
    """Turns, words and speakers of a recording, and the hashes of its separated voices."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "voices"
        options = ["--separate", str(folder)] if separate else []
        text = echo_edge(
            checkout, "run", audio, "--format", "json", "--no-voices",
            "--latency-s", latency_s, *options,
        )  # fmt: skip
        document = json.loads(text.replace(temporary, ""))
        found = {key: value for key, value in document.items() if key not in MEASURED}
        return {"result": found, "voices": hashes(folder) if separate else {}}


def keys(value: Any) -> Any:
    """The shape of a JSON document: its keys, and the type of every value."""
    if isinstance(value, dict):
        return {key: keys(each) for key, each in sorted(value.items())}
    if isinstance(value, list):
        return [keys(value[0])] if value else []
    return "number" if isinstance(value, int | float) else type(value).__name__


def bench_keys(checkout: Path) -> Any:
    """Keys of a short bench record."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "record.jsonl"
        echo_edge(checkout, "bench", "--seconds", "1", "--live-s", "1", "--json", str(out))
        return keys(json.loads(out.read_text()))


def exported(checkout: Path, checkpoint: Path) -> dict[str, str]:
    """Hashes of a bundle made of the checkpoint as the shipped one is made."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "bundle"
        language = str(checkout / "models/english.npz")
        echo_edge(
            checkout, "export", str(checkpoint.resolve()), "--out", str(out),
            "--language-model", language,
        )  # fmt: skip
        return hashes(out)


def golden(checkout: Path, checkpoint: Path | None) -> dict[str, Any]:
    """All results by name."""
    demo, clip = "demo/conversation.flac", f"{BUNDLE}/selftest/audio.wav"
    found: dict[str, Any] = {"bundle": hashes(checkout / BUNDLE)}
    for latency_s in LATENCIES_S:
        print(f"golden: {latency_s} s", file=sys.stderr, flush=True)
        found[f"demo at {latency_s} s"] = result(checkout, demo, latency_s, separate=True)
        found[f"clip at {latency_s} s"] = result(checkout, clip, latency_s, separate=False)
    print("golden: bench", file=sys.stderr, flush=True)
    found["bench record keys"] = bench_keys(checkout)
    if checkpoint is not None:
        print("golden: export", file=sys.stderr, flush=True)
        found["exported bundle"] = exported(checkout, checkpoint)
    return found


def main() -> None:
    """Print the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--export", type=Path, metavar="CHECKPOINT")
    args = parser.parse_args()
    print(json.dumps(golden(args.checkout.resolve(), args.export), indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
