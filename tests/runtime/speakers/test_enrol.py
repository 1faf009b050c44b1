"""Enrolment: how much speech, and of how many people, the bundle asks for."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge.errors import AudioError
from echo_edge.session import Session
from echo_edge.speakers.enrol import learn

Speak = Callable[[Sequence[tuple[float, tuple[int, ...], int]]], NDArray[np.float32]]


def _asking(session: Session, **decoding: float) -> Session:
    manifest = session.bundle.manifest
    changed = replace(manifest, decoding=replace(manifest.decoding, **decoding))  # type: ignore[arg-type]
    return replace(session, bundle=replace(session.bundle, manifest=changed))


def test_the_bundle_says_how_much_speech_is_enough(fake_session: Session, spoken: Speak) -> None:
    pcm = spoken([(2.0, (0,), 2)])

    found = learn(_asking(fake_session, enrol_min_s=1.0), [pcm], "a.wav")

    assert math.isclose(found.speech_s, 2.0, abs_tol=0.3)
    with pytest.raises(AudioError, match=r"a.wav: found .* s of speech, expected 5 s at least"):
        learn(_asking(fake_session, enrol_min_s=5.0), [pcm], "a.wav")


def test_the_bundle_says_what_one_person_is(fake_session: Session, spoken: Speak) -> None:
    pcm = spoken([(4.0, (0,), 2), (2.0, (1,), 3)])

    found = learn(_asking(fake_session, enrol_min_share=0.5), [pcm], "a.wav")

    assert found.speech_s < 5.0
    with pytest.raises(AudioError, match=r"a.wav: found 2 voices"):
        learn(_asking(fake_session, enrol_min_share=0.9), [pcm], "a.wav")
