"""Spectra that more than one test looks at."""

import numpy as np
from numpy.typing import NDArray


def above_100_hz(samples: NDArray[np.float32]) -> float:
    """Root of the power above 100 Hz of samples `[N]` at 16 kHz: the frontend takes away an offset,
    and what is near it, so separated voices do not have that."""
    spectrum = np.fft.rfft(samples * np.hanning(len(samples)))
    return float(np.linalg.norm(spectrum[np.fft.rfftfreq(len(samples), 1 / 16_000) > 100]))
