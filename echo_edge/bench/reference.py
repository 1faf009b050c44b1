"""A fixed piece of work that is measured beside every bundle, so that machines compare.

One call is the float32 matrix products of the feed-forward layers of an encoder of 8 blocks over
12 steps, [12, 512] x [512, 2048] x [2048, 512], every block with weights of its own: it computes
and reads memory as an encoder does, and depends on no bundle and no engine. numpy does it on one
core, in a process of its own, because its thread count can only be chosen before it is imported.

`python -m echo_edge.bench.reference` is that process: it reads a number of calls per line and
answers one line of JSON.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Self, cast

from echo_edge.errors import EchoError

BLOCKS, STEPS, WIDTH, HIDDEN = 8, 12, 512, 2048
AUDIO_S = 0.48
"""The audio that an encoder with steps of 40 ms takes in one such call."""
FLOP = 2 * 2 * BLOCKS * STEPS * WIDTH * HIDDEN
WHAT = (
    f"numpy float32, 1 thread: {BLOCKS} x [{STEPS}, {WIDTH}] x [{WIDTH}, {HIDDEN}] x "
    f"[{HIDDEN}, {WIDTH}]"
)
WARM_UP_CALLS = 5
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OPENBLAS", "OMP", "MKL", "BLIS", "VECLIB", "NUMEXPR")
}


class Reference:
    """The process, and what its calls took; a context manager."""

    def __init__(self) -> None:
        self.samples_ms: list[float] = []
        self.cpu_s = 0.0
        """Processor time of the process so far."""
        self._process = subprocess.Popen(
            (sys.executable, "-m", "echo_edge.bench.reference"),
            cwd=Path(__file__).parents[2],  # the new process runs this very code
            env=os.environ | ONE_THREAD,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def warm_up(self) -> None:
        """A few calls that do not count."""
        self.run(WARM_UP_CALLS)
        self.samples_ms.clear()

    def run(self, n_calls: int) -> None:
        """One sample per call. EchoError if the process has ended."""
        stdin, stdout = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        try:
            stdin.write(f"{n_calls}\n")
            stdin.flush()
            answer = json.loads(stdout.readline())
        except (OSError, ValueError) as error:
            raise EchoError(
                f"bench: the process of the reference work ended with {self._process.poll()}, "
                f"expected answers: free {BLOCKS * 2 * WIDTH * HIDDEN * 4 >> 20} MiB of memory"
            ) from error
        self.samples_ms += answer["samples_ms"]
        self.cpu_s = answer["cpu_s"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _serve() -> None:
    """Answer until the other end closes."""
    import numpy as np

    generator = np.random.default_rng(0)

    def weights(*shape: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        return generator.standard_normal(shape, np.float32) / np.float32(shape[0] ** 0.5)

    x = weights(STEPS, WIDTH)
    blocks = [(weights(WIDTH, HIDDEN), weights(HIDDEN, WIDTH)) for _ in range(BLOCKS)]
    for line in sys.stdin:
        samples_ms = []
        for _ in range(int(line)):
            started = time.perf_counter()
            for up, down in blocks:
                x @ up @ down
            samples_ms.append(1000 * (time.perf_counter() - started))
        print(json.dumps({"samples_ms": samples_ms, "cpu_s": time.process_time()}), flush=True)


if __name__ == "__main__":
    _serve()
