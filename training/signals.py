"""Cost of signals that are not nominal: turns and words of a bundle, signal by signal.

    python -m training.signals --data DATA --bundle echo_edge/default_bundle

The dialogues and the real excerpts of `training.quality`, decided at the end, as they are and
after an offset, rumble, another level or clipping was put on them: DER of both, WER and cpWER of
the dialogues, share of right speaker counts. Prints a table in Markdown.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echo_edge.bench.report.table import markdown
from echo_edge.session import Session, load
from training.corpora.data import SAMPLE_RATE, Pcm, load_corpus
from training.scoring.quality import Scene, conversations, excerpts, measure

COLUMNS = ("der", "wer", "cpwer", "count_right")
RUMBLE_HZ = (30.0, 50.0)


def rumble(n_samples: int, peak_db: float) -> NDArray[np.float64]:
    """Noise of 30 to 50 Hz with that peak, dB of full scale; always the same."""
    hertz = np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE)
    random = np.random.default_rng(5).standard_normal((2, len(hertz)))
    band = (hertz > RUMBLE_HZ[0]) & (hertz < RUMBLE_HZ[1])
    noise = np.fft.irfft(np.where(band, random[0] + 1j * random[1], 0.0), n_samples)
    return np.asarray(noise / np.abs(noise).max() * 10 ** (peak_db / 20))


def peak(pcm: NDArray[np.float64], peak_db: float) -> NDArray[np.float64]:
    """The samples with that peak, dB of full scale."""
    return np.asarray(pcm / np.abs(pcm).max() * 10 ** (peak_db / 20))


SIGNALS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "nominal": lambda pcm: pcm,
    "offset of 1 %": lambda pcm: pcm + 0.01,
    "offset of -5 %": lambda pcm: pcm - 0.05,
    "offset of 20 %": lambda pcm: pcm + 0.2,
    "20 dB quieter, offset of 5 %": lambda pcm: 0.1 * pcm + 0.05,
    "rumble, peaks at -20 dBFS": lambda pcm: pcm + rumble(len(pcm), -20.0),
    "rumble, peaks at -6 dBFS": lambda pcm: pcm + rumble(len(pcm), -6.0),
    "peaks at -36 dBFS": lambda pcm: peak(pcm, -36.0),
    "peaks at -55 dBFS": lambda pcm: peak(pcm, -55.0),
    "the same in 16 bits": lambda pcm: np.rint(peak(pcm, -55.0) * 32768) / 32768,
    "peaks at +20 dBFS": lambda pcm: peak(pcm, 20.0),
    "12 dB into clipping": lambda pcm: np.clip(peak(pcm, 12.0), -1.0, 1.0),
}


def row(session: Session, name: str, sets: Sequence[Sequence[Scene]]) -> list[str]:
    """One line of the table: the signal and its figures."""

    def changed(pcm: Pcm) -> Pcm:
        return SIGNALS[name](pcm.astype(np.float64)).astype(np.float32)

    figures = [
        measure(scenes, [session.process(changed(scene.pcm), math.inf) for scene in scenes])
        for scenes in sets
    ]
    return [name, *(f"{figures[0][key]:.1f}" for key in COLUMNS), f"{figures[1]['der']:.1f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--dialogues", type=int, default=12)
    parser.add_argument("--signal", nargs="+", choices=SIGNALS, default=list(SIGNALS))
    args = parser.parse_args(arguments)
    corpus = load_corpus([args.data / "dev"], args.cache / "dev")
    sets = conversations(corpus, args.dialogues), excerpts(args.data)
    with load(args.bundle) as session:
        cells = [row(session, name, sets) for name in args.signal]
    print(markdown(("signal", *COLUMNS, "real der"), cells))


if __name__ == "__main__":
    main()
