"""Audio in, results out: everything that changes while a recording flows through a bundle."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from echo_edge.attribution.deferred import Held, JoinRules
from echo_edge.attribution.labels import Labels
from echo_edge.attribution.names import NameGiver, NameRules, VoiceSpeech
from echo_edge.attribution.turns import ExclusiveTurnBuilder, TurnBuilder
from echo_edge.attribution.words import open_transcript
from echo_edge.bundle.verify import Bundle
from echo_edge.engines import Engine
from echo_edge.engines.stateful import GraphStream
from echo_edge.errors import UsageError
from echo_edge.frontend import Frontend, checked
from echo_edge.heads.clustering import LinkRules
from echo_edge.heads.diarization import Activity, DiarizationDecoder, TurnRules
from echo_edge.heads.separation import SeparationDecoder
from echo_edge.result import END, Horizon, Result, Tentative
from echo_edge.voices import Voiceprint, Voices

Array = NDArray[np.float32]

MOST_SPEAKERS = 20
"""Bound on the voices of one stream, and so on its memory."""

MOST_PARTS = 128
"""With a latency of infinity: a speaker may be many voices until the end."""


@dataclass(frozen=True)
class StreamOptions:
    """What one stream is asked for."""

    latency_s: float = 2.0
    """How long a decision may be held back; infinity decides at the end, with all evidence."""
    min_speakers: int = 1
    max_speakers: int = MOST_SPEAKERS
    language_model: bool = True
    """Use the bundle's, if it has one; otherwise the best character of every frame is written."""

    def __post_init__(self) -> None:
        if not self.latency_s >= 0.0:
            raise UsageError(f"latency_s: found {self.latency_s}, expected 0 or more seconds")
        if not 1 <= self.min_speakers <= self.max_speakers <= MOST_SPEAKERS:
            raise UsageError(
                f"speakers: found {self.min_speakers} to {self.max_speakers}, expected "
                f"1 <= min_speakers <= max_speakers <= {MOST_SPEAKERS}"
            )


class Stream:
    """Audio in, results out. Memory and cost per second do not depend on how much came before."""

    def __init__(
        self,
        bundle: Bundle,
        engines: Mapping[str, Engine],
        options: StreamOptions,
        on_sources: Callable[[Array], None] | None = None,
        voices: Voices | None = None,
    ) -> None:
        manifest = bundle.manifest
        self._checkpoint = manifest.source.checkpoint_sha256
        voices = voices or Voices()
        voices.check_checkpoint(self._checkpoint)
        self._chunk = manifest.audio.chunk_samples
        self._step = manifest.streaming.step_samples
        self._sample_rate = manifest.audio.sample_rate
        self._step_s = self._step / self._sample_rate
        self._pending = np.zeros(0, np.float32)
        self._heard = 0
        self._finished = False
        self._on_sources = on_sources
        self._emitted = 0

        def graph(name: str) -> GraphStream:
            return GraphStream(engines[name], manifest.graphs[name])

        decoding = manifest.decoding
        at_the_end = math.isinf(options.latency_s)
        self._frontend = Frontend(graph("frontend"), self._step)
        self._encoder = graph("encoder")
        turn_rules = _turn_rules(decoding, self._step_s)
        self._diarization = DiarizationDecoder(
            graph("diarization"),
            graph("speaker"),
            manifest.diarization,
            _link_rules(decoding, options),
            turn_rules,
            self._step_s,
            2**31 if at_the_end else round(options.latency_s / self._step_s),
        )
        self._separation = SeparationDecoder(
            graph("separation"),
            manifest.separation,
            decoding.get("slot_threshold", decoding["group_threshold"]),
        )
        self._turns, self._exclusive = TurnBuilder(turn_rules), ExclusiveTurnBuilder(turn_rules)
        self._words = open_transcript(bundle, graph, options.language_model)
        self._held = (
            Held(
                self._diarization,
                (self._separation.slots,),
                _join_rules(decoding, options),
            )
            if at_the_end
            else None
        )
        self._labels = Labels(self._step_s, deferred=at_the_end)
        self._speech = VoiceSpeech(self._diarization.clusters, self._step_s, turn_rules.active)
        self._people = NameGiver(voices, NameRules.of(decoding))
        self._tentative = Tentative()

    def push(self, pcm: Array) -> Result:
        """What became final with these samples, float32 `[n]` at 16 kHz, any n.

        Raises AudioError for samples that are not finite or not one-dimensional; nothing of such a
        call is taken in, and the stream goes on with the next.
        """
        self._check_unfinished("push")
        pcm = checked(pcm, self._heard)
        self._heard += len(pcm)
        self._pending = np.concatenate([self._pending, pcm])
        whole = len(self._pending) // self._chunk * self._chunk
        ready, self._pending = self._pending[:whole], self._pending[whole:]
        for start in range(0, whole, self._chunk):
            self._run(ready[start : start + self._chunk], self._chunk)
        if whole:
            self._tentative = self._look_ahead()
        return self._result()

    def finish(self) -> Result:
        """Everything that was still held back; the stream ends."""
        self._check_unfinished("finish")
        n_last = len(self._pending)
        if n_last:
            self._run(np.pad(self._pending, (0, self._chunk - n_last)), n_last)
        self._finished, self._tentative = True, Tentative()
        self._words.finish(self._heard_s)
        self._emit(self._separation.finish())
        self._settle(self._diarization.finish(), everything=True)
        return self._result()

    def voiceprint(self, speaker: str) -> Voiceprint:
        """What a speaker, by the label of a result, sounds like so far: to be kept in `Voices`.

        UsageError for a label that no result had. With a latency of infinity there is none before
        `finish`. The more speech, the better: 15 s or more.
        """
        row = self._labels.voice_of(speaker)
        if row is None:
            raise UsageError(
                f"voiceprint: found no speaker {speaker[:60]!r} in what is final, expected a label "
                "such as speaker_1"
            )
        speech = self._speech.of()
        return Voiceprint.of(speech.centroids[row], speech.heard_s[row], self._checkpoint)

    @property
    def signal_finding(self) -> str:
        """Everything about the audio so far that is not nominal (level, rumble, an offset,
        clipping), for one line to the user; empty if nothing. It may explain a poor result."""
        return self._frontend.finding

    @property
    def _heard_s(self) -> float:
        """Length of the audio so far."""
        return self._heard / self._sample_rate

    def _check_unfinished(self, verb: str) -> None:
        if self._finished:
            raise UsageError(
                f"{verb}: found a finished stream, expected a new one: session.stream()"
            )

    def _run(self, chunk: Array, n_samples: int) -> None:
        """One chunk through all graphs; only the first `n_samples` are real."""
        features, spectrum = self._frontend.hear(chunk, n_samples)
        latents = self._encoder.run(features=features)
        self._words.hear_mixture(latents["latents_asr"], self._heard_s)
        n_steps = math.ceil(n_samples / self._step)
        decided = self._diarization.push(
            latents["latents_diarization"][:, :n_steps], latents["latents_speaker"][:, :n_steps]
        )
        self._settle(decided)
        if self._on_sources is not None:
            separated = self._separation.push(
                latents["latents_separation"],
                features,
                spectrum,
                self._diarization.recent,
                self._diarization.clusters.centroids,
            )
            self._emit(separated)

    def _settle(self, decided: list[Activity], everything: bool = False) -> None:
        if self._held is not None:
            for activity in decided:
                self._words.decide(activity)
            self._words.put_aside(everything)
            self._held.add(decided)
            if not everything:
                return
            self._labels.conclude(self._held.conclude())
            self._words.again()
        for activity in decided if self._held is None else self._held.blocks():
            self._labels.add_turns(self._turns.push(activity))
            self._labels.add_exclusive(self._exclusive.push(activity))
            self._speech.hear(activity)
            self._words.decide(activity)
            self._labels.add_words(self._words.take())
            if self._held is None:
                self._give_names()
        if everything:
            self._labels.add_turns(self._turns.finish())
            self._labels.add_exclusive(self._exclusive.finish())
            self._labels.add_words(self._words.take(everything))
            self._give_names()

    def _give_names(self) -> None:
        self._people.look(self._speech.of())
        self._labels.know(self._people.names)

    def _emit(self, sources: Array) -> None:
        """Hand out separated samples, never more than were heard."""
        if self._on_sources is not None:
            sources = sources[:, : self._heard - self._emitted]
            self._emitted += sources.shape[1]
            if sources.shape[1]:
                self._on_sources(sources)

    def _look_ahead(self) -> Tentative:
        """What would follow if the audio ended here, without the work of ending it."""
        undecided = self._diarization.undecided
        words = self._words.peek(undecided, self._heard_s)
        return self._labels.tentative(self._turns.peek(undecided), words, self._heard_s)

    def _result(self) -> Result:
        result = self._labels.take(self._heard_s, everything=self._finished)
        return replace(result, tentative=self._tentative, horizon=self._horizon())

    def _horizon(self) -> Horizon:
        if self._finished or self._held is not None:
            return END if self._finished else Horizon()
        decided = self._diarization.decided
        exclusive = self._labels.next_exclusive(self._exclusive.next_start(decided))
        return Horizon(
            self._words.next_s(self._heard_s),
            self._turns.next_start(decided) * self._step_s,
            self._turns.next_end(decided) * self._step_s,
            exclusive * self._step_s,
        )


def _link_rules(decoding: Mapping[str, float], options: StreamOptions) -> LinkRules:
    at_the_end = math.isinf(options.latency_s)
    return LinkRules(
        decoding["stretch_threshold"],
        decoding["new_voice_s"],
        # Decided at the end, voices are split finely first and joined later.
        MOST_PARTS if at_the_end else options.max_speakers,
        MOST_PARTS if at_the_end else options.min_speakers,
    )


def _join_rules(decoding: Mapping[str, float], options: StreamOptions) -> JoinRules:
    return JoinRules(decoding["group_threshold"], options.min_speakers, options.max_speakers)


def _turn_rules(decoding: Mapping[str, float], step_s: float) -> TurnRules:
    return TurnRules(
        decoding["active_threshold"],
        round(decoding["gap_s"] / step_s),
        round(decoding["shortest_turn_s"] / step_s),
    )
