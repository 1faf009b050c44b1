"""Known voices in simulated conversations: the whole way, as somebody uses it.

Some of those who talk were enrolled, from other utterances heard in another place; so were others
who are not there. Figures are per speaker of the results, who is the person that talks during most
of the speaker's turns.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echo_edge.result import Result, Speaker
from echo_edge.session import Session
from echo_edge.voices import Voiceprint, Voices
from training.corpora.data import SAMPLE_RATE, Corpus, Utterance
from training.scoring.voice_trials import direction, heard
from training.simulation.augment import SPEEDS, change_speed
from training.simulation.mixtures import ENOUGH, STEP_SAMPLES, Mixture, conversation

Array = NDArray[np.float32]

N_KNOWN = 8
ENROL_S = 30.0
SECONDS = 90.0
SHORTEST_S = 3.0
"""Speakers with less speech than a name needs are not counted."""


@dataclass(frozen=True)
class Scene:
    """A conversation and who is known in it."""

    mixture: Mixture
    people: tuple[str, ...]
    """Names of those who talk."""
    voices: Voices


def scenes(
    session: Session, corpus: Corpus, rooms: Array | None, n_scenes: int, seed: int
) -> Iterable[Scene]:
    """Conversations of 2 or 3 people, each known with even chance, and others, eight in all."""
    pools = corpus.by_speaker(ENOUGH)
    later = {name: pool[len(pool) // 2 :] for name, pool in pools.items()}
    checkpoint = session.bundle.manifest.source.checkpoint_sha256
    for index in range(n_scenes):
        rng = np.random.default_rng((seed, index))
        mixture = conversation(corpus, later, rooms, SECONDS, 2 + index % 2, rng)
        there = dict(zip(mixture.speakers, mixture.speeds, strict=True))
        absent = [name for name in sorted(pools) if name not in there]
        known = [name for name in there if rng.random() < 0.5]
        known += [str(name) for name in rng.choice(absent, N_KNOWN - len(known), replace=False)]
        voices = Voices()
        for name in known:
            # A changed speed makes another voice of a person, so it is enrolled at that speed.
            factor = SPEEDS[there.get(name, SPEEDS.index(1.0))]
            found = _enrolled(session, corpus, pools[name], factor, rooms, rng)
            if found is not None:
                voices = voices.learn(name, Voiceprint.from_vector(found, ENROL_S, checkpoint))
        yield Scene(mixture, mixture.speakers, voices)


def _enrolled(
    session: Session,
    corpus: Corpus,
    pool: list[Utterance],
    factor: float,
    rooms: Array | None,
    rng: np.random.Generator,
) -> Array | None:
    said = np.concatenate([corpus.pcm(u) for u in pool[: len(pool) // 2]])
    said = change_speed(said[: round(ENROL_S * factor * SAMPLE_RATE)], factor)
    return direction(session, heard(said, rooms, rng))


class NameScore:
    """Counts what happened to the names of speakers, and for how long wrong ones stood."""

    def __init__(self) -> None:
        self.known = {"named": 0, "missed": 0, "wrong": 0}
        self.unknown = {"unnamed": 0, "false": 0}
        self.speech_s = {"right": 0.0, "wrong": 0.0, "unnamed": 0.0}

    def add(self, scene: Scene, result: Result) -> None:
        """Judge one result."""
        enrolled = {voice.name for voice in scene.voices.people}
        for speaker in result.speakers:
            if speaker.speech_s < SHORTEST_S:
                continue
            truth = _person(scene, result, speaker)
            if truth in enrolled:
                right = speaker.name == truth
                kind = "named" if right else "missed" if speaker.name is None else "wrong"
                self.known[kind] += 1
            else:
                right = False
                self.unknown["unnamed" if speaker.name is None else "false"] += 1
            kind = "right" if right else "unnamed" if speaker.name is None else "wrong"
            self.speech_s[kind] += speaker.speech_s

    def figures(self) -> dict[str, float]:
        """Shares in per cent: of known speakers, of unknown ones, and of all speech."""
        figures: dict[str, float] = {}
        for prefix, counts in (
            ("known", self.known),
            ("unknown", self.unknown),
            ("speech", self.speech_s),
        ):
            total = max(sum(counts.values()), 1e-9)
            figures |= {f"{prefix}.{kind}": 100.0 * n / total for kind, n in counts.items()}
        n_speakers = {"known": self.known, "unknown": self.unknown}
        return figures | {f"{k}.n": float(sum(v.values())) for k, v in n_speakers.items()}


def _person(scene: Scene, result: Result, speaker: Speaker) -> str:
    """The person who talks during most of a speaker's turns."""
    step_s = STEP_SAMPLES / SAMPLE_RATE
    talked = np.zeros(len(scene.people))
    for turn in result.turns:
        if turn.speaker == speaker.id:
            part = slice(round(turn.start_s / step_s), round(turn.end_s / step_s))
            talked += scene.mixture.active[: len(talked), part].sum(1)
    return scene.people[int(talked.argmax())]
