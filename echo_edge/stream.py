"""Audio in, results out: everything that changes while a recording flows through a bundle."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from echo_edge.attribution.deferred import DeferredAttribution, JoinRules
from echo_edge.attribution.given_count import part_threshold
from echo_edge.attribution.live import LiveAttribution
from echo_edge.attribution.names import NameGiver, NameRules
from echo_edge.bundle.verify import Bundle
from echo_edge.engines import Engine
from echo_edge.engines.stateful import GraphStream
from echo_edge.errors import UsageError
from echo_edge.frontend import Encoder, Pcm, checked
from echo_edge.heads.clustering import LinkRules
from echo_edge.heads.diarization import DiarizationDecoder
from echo_edge.heads.second_pass import open_words
from echo_edge.heads.separation import SeparationDecoder
from echo_edge.result import END, BundleInfo, Origin, Result, Tentative, to_the_sample
from echo_edge.voices import Voiceprint, Voices

Array = NDArray[np.float32]

MAX_SPEAKERS = 20
"""Bound on the voices of one stream, and so on its memory."""


@dataclass(frozen=True)
class StreamOptions:
    """Options of one stream; UsageError for values out of range."""

    latency_s: float = 2.0
    """Longest wait for a decision; infinity decides at the end, with all evidence."""
    min_speakers: int = 1
    max_speakers: int = MAX_SPEAKERS
    language_model: bool = True
    """Use the bundle's, if it has one; otherwise the best character of every frame is written."""

    def __post_init__(self) -> None:
        if not self.latency_s >= 0.0:
            raise UsageError(f"latency_s: found {self.latency_s}, expected 0 or more seconds")
        if not 1 <= self.min_speakers <= self.max_speakers <= MAX_SPEAKERS:
            raise UsageError(
                f"speakers: found {self.min_speakers} to {self.max_speakers}, expected "
                f"1 <= min_speakers <= max_speakers <= {MAX_SPEAKERS}"
            )


class Stream:
    """Audio in, results out. Memory and cost per second do not depend on how much came before.

    PCM -> chunks of the encoder -> transcriber, diarization and separation -> attribution, which
    gives turns and words their speakers.
    """

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
        self._engines = engines
        self._made_by, self._wall_s = BundleInfo.of(bundle), 0.0
        self._chunk_samples = manifest.audio.chunk_samples
        self._sample_rate = manifest.audio.sample_rate
        self._on_sources = on_sources
        self._pending = np.zeros(0, np.float32)
        self._n_received = self._n_separated = 0
        self._finished = False
        self._tentative = Tentative()

        def graph(name: str) -> GraphStream:
            return GraphStream(engines[name], manifest.graphs[name])

        self._encoder = Encoder(graph, manifest)
        self._diarization = _open_diarization(bundle, graph, options)
        self._asr = open_words(
            bundle, graph, options.language_model, lambda: self._diarization.speech
        )
        self._separation = _open_separation(bundle, graph)
        self._attribution = _open_attribution(
            bundle, self._diarization, self._separation, options, voices
        )

    def push(self, pcm: Pcm) -> Result:
        """The result that became final with these samples, `[n]` at 16 kHz, any n.

        They are float32 within -1 to 1, or int16. Raises AudioError for samples that are not
        finite, not one-dimensional or of another scale; nothing of such a call is taken in, and
        the stream goes on with the next.
        """
        self._check_open("push")
        began_s = time.perf_counter()
        pcm = checked(pcm, self._n_received)
        self._n_received += len(pcm)
        self._pending = np.concatenate([self._pending, pcm])
        whole = len(self._pending) // self._chunk_samples * self._chunk_samples
        ready, self._pending = self._pending[:whole], self._pending[whole:]
        for start in range(0, whole, self._chunk_samples):
            self._run(ready[start : start + self._chunk_samples])
        if whole:
            self._tentative = self._attribution.tentative(
                self._diarization.undecided, self._asr.peek(), self._duration_s
            )
        return self._result(began_s)

    def finish(self) -> Result:
        """The rest of the result; the stream ends."""
        self._check_open("finish")
        began_s = time.perf_counter()
        if len(self._pending):
            self._run(self._pending)
        self._finished, self._tentative = True, Tentative()
        self._emit(self._separation.finish())
        self._attribution.finish(self._diarization.finish(), self._asr.finish())
        return self._result(began_s)

    def feed(self, blocks: Iterable[Pcm]) -> Iterator[Result]:
        """Yield what `push` gives for each of the blocks, then what `finish` gives: all of it.

        Where the blocks end in an error it is raised and the stream goes on: what was heard so far
        comes with `finish`.
        """
        for block in blocks:
            yield self.push(block)
        yield self.finish()

    def voiceprint(self, speaker: str) -> Voiceprint:
        """The voice of a speaker so far, by the label of a result: to be put in `Voices`.

        UsageError for a label that no result had. With a latency of infinity there is none before
        `finish`. The more speech, the better: 15 s or more.
        """
        return self._attribution.voiceprint(speaker, self._checkpoint)

    @property
    def signal_finding(self) -> str:
        """A line on all that is not nominal about the audio so far (level, rumble, an offset,
        clipping), for the user; empty if nothing. It may explain a poor result."""
        return self._encoder.frontend.finding

    @property
    def _duration_s(self) -> float:
        """Length of the audio so far."""
        return self._n_received / self._sample_rate

    def _check_open(self, verb: str) -> None:
        if not self._engines:
            raise UsageError(
                f"{verb}: found a closed session, expected an open one: echo_edge.load()"
            )
        if self._finished:
            raise UsageError(
                f"{verb}: found a finished stream, expected a new one: session.stream()"
            )

    def _run(self, pcm: Array) -> None:
        """One chunk, or less at the end of the audio, through all graphs."""
        chunk = self._encoder.push(pcm, self._duration_s)
        decided = self._diarization.push(chunk)
        self._attribution.add(decided, self._asr.push(chunk))
        if self._on_sources is not None:
            diarization = self._diarization
            self._emit(
                self._separation.push(chunk, diarization.recent, diarization.clusters.centroids)
            )

    def _emit(self, sources: Array) -> None:
        """Hand out separated samples, never more than were received."""
        if self._on_sources is not None:
            sources = sources[:, : self._n_received - self._n_separated]
            self._n_separated += sources.shape[1]
            if sources.shape[1]:
                self._on_sources(sources)

    def _result(self, began_s: float) -> Result:
        """All that became final since the work began, at `began_s` of the counter."""
        result = self._attribution.take(self._duration_s)
        # Of what is not in `result`, so it comes after that.
        horizon = END if self._finished else self._attribution.horizon(self._asr.next_s)
        self._wall_s += time.perf_counter() - began_s
        origin = Origin("", self._made_by, self._wall_s)
        return to_the_sample(
            replace(result, tentative=self._tentative, horizon=horizon, origin=origin)
        )


def _open_diarization(
    bundle: Bundle, graph: Callable[[str], GraphStream], options: StreamOptions
) -> DiarizationDecoder:
    manifest, decoding = bundle.manifest, bundle.manifest.decoding
    bounds = options.min_speakers, options.max_speakers
    if math.isinf(options.latency_s):
        # Decided at the end, voices are split finely first and joined later.
        bounds = decoding.deferred_voices, decoding.deferred_voices
        threshold = part_threshold(decoding, options.min_speakers)
        decoding = replace(decoding, stretch_threshold=threshold)
    return DiarizationDecoder(
        graph("diarization"),
        graph("speaker"),
        manifest.diarization,
        LinkRules.from_manifest(decoding, *bounds),
        decoding,
        _step_s(bundle),
        options.latency_s / _step_s(bundle),
    )


def _open_separation(bundle: Bundle, graph: Callable[[str], GraphStream]) -> SeparationDecoder:
    manifest = bundle.manifest
    return SeparationDecoder(graph("separation"), manifest.separation, manifest.decoding)


def _open_attribution(
    bundle: Bundle,
    diarization: DiarizationDecoder,
    separation: SeparationDecoder,
    options: StreamOptions,
    voices: Voices,
) -> LiveAttribution | DeferredAttribution:
    decoding, step_s = bundle.manifest.decoding, _step_s(bundle)
    names = NameGiver(voices, NameRules.from_manifest(decoding))
    live = LiveAttribution(diarization.clusters, decoding, step_s, names)
    if math.isfinite(options.latency_s):
        return live
    rules = JoinRules(decoding, options.min_speakers, options.max_speakers)
    return DeferredAttribution(live, diarization, separation.slots, rules, step_s)


def _step_s(bundle: Bundle) -> float:
    return bundle.manifest.streaming.step_samples / bundle.manifest.audio.sample_rate
