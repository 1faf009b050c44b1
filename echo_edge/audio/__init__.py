"""Audio in and out: recordings to 16 kHz mono blocks, and WAV files written as they grow.

Knows nothing of models or results. Importing it imports no codec.
"""

from echo_edge.audio.pieces import LOUDEST, resampler
from echo_edge.audio.read import duration_s, read_blocks
from echo_edge.audio.reading import Reading
from echo_edge.audio.stdin import pcm_blocks, stdin_blocks
from echo_edge.audio.wav import SAMPLE_RATE, Array, WavWriter, wav_header, write_wav

__all__ = [
    "LOUDEST",
    "SAMPLE_RATE",
    "Array",
    "Reading",
    "WavWriter",
    "duration_s",
    "pcm_blocks",
    "read_blocks",
    "resampler",
    "stdin_blocks",
    "wav_header",
    "write_wav",
]
