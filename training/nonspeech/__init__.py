"""Sounds that nobody speaks, made from seeds: what the diarization must leave without a voice.

A kind is a function of (samples, generator) to a signal `[n]` at 16 kHz of any level. All are built
from parts (`shapes`): clicks, damped modes, harmonic tones, coloured noise. `KINDS` teach,
`HELD_OUT` only measure.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from training.nonspeech import ambience, held_out, impacts, music, tones
from training.nonspeech.shapes import Signal

Kind = Callable[[int, np.random.Generator], Signal]

KINDS: Mapping[str, Kind] = {
    kind.__name__: kind
    for kind in (
        impacts.typing, impacts.knocks, impacts.footsteps, impacts.claps, impacts.drums,
        impacts.clinks, impacts.rustle, impacts.scraping, impacts.barks,
        tones.ringing, tones.tune, tones.beeps, tones.siren, tones.sweep, tones.keypad, tones.modem,
        tones.whistling, tones.birds, tones.bells,
        music.plucked, music.keyed, music.bowed, music.organ, music.blown, music.synthetic,
        music.band,
        ambience.fan, ambience.engine, ambience.hum, ambience.air, ambience.rain, ambience.wind,
        ambience.water, ambience.traffic, ambience.clockwork,
    )
}  # fmt: skip

HELD_OUT: Mapping[str, Kind] = {
    kind.__name__: kind
    for kind in (
        held_out.line_ringing, held_out.xylophone, held_out.harmonica, held_out.applause,
        held_out.vacuum, held_out.crickets, held_out.helicopter,
    )
}  # fmt: skip


def sound(kind: Kind, n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """`n_samples` of one kind, peak 1."""
    signal = kind(n_samples, rng)
    peak = float(np.abs(signal).max())
    return (signal / max(peak, 1e-9)).astype(np.float32)
