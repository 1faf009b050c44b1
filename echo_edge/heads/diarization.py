"""Speaker activity: overlapping windows of local speakers, linked to voices, averaged, decided.

Every `hop_steps` the last window is segmented into up to three local speakers. A local speaker may
be two people who talk after each other, so every stretch without a pause is linked to a voice on
its own, by its embedding. All windows that saw a step vote on it, until it is `latency_steps` old
and decided for good. Memory does not grow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.bundle.manifest import DiarizationSpec
from echo_edge.engines.stateful import GraphStream
from echo_edge.frontend import Chunk
from echo_edge.heads.clustering import NOBODY, LinkRules, OnlineClusters

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Activity:
    """Decided steps from `first_step` on: how sure each voice is active, `[steps, voices]`."""

    first_step: int
    scores: Array


@dataclass(frozen=True)
class TurnRules:
    """How activity becomes turns; the names are those of pyannote's `Binarize`, durations in
    steps."""

    onset: float
    """A voice is active where its score is at least this."""
    min_off_steps: int
    """Pauses up to this long do not end a turn (`min_duration_off`)."""
    min_on_steps: int
    """Shorter turns are dropped (`min_duration_on`)."""

    @classmethod
    def from_manifest(cls, decoding: DecodingSpec, step_s: float) -> "TurnRules":
        """The rules of a bundle, whose steps are `step_s` long."""
        return cls(
            decoding.active_threshold,
            round(decoding.gap_s / step_s),
            round(decoding.shortest_turn_s / step_s),
        )


@dataclass(frozen=True)
class Stretch:
    """Speech of one local speaker without a pause; steps of the window, ends exclusive."""

    local: int
    start: int
    end: int
    first: int
    """From here ..."""
    last: int
    """... to here no other stretch of the local speaker is nearer."""


def find_stretches(active: Array, rules: TurnRules) -> list[Stretch]:
    """The stretches of all local speakers, who are `active` `[W, K]`, 0 to 1: turns in a window."""
    found: list[Stretch] = []
    for local, row in enumerate(active.T):
        steps = np.flatnonzero(row >= rules.onset)
        parts = np.split(steps, np.flatnonzero(np.diff(steps) > rules.min_off_steps + 1) + 1)
        spans = [(int(part[0]), int(part[-1]) + 1) for part in parts if len(part)]
        spans = [span for span in spans if span[1] - span[0] >= rules.min_on_steps]
        middles = [(a[1] + b[0]) // 2 for a, b in pairwise(spans)]
        for span, first, last in zip(spans, [0, *middles], [*middles, len(row)], strict=False):
            found.append(Stretch(local, *span, first, last))
    return found


class DiarizationDecoder:
    """From latents to decided activity of voices. A voice is an index that never changes."""

    def __init__(
        self,
        segmentation: GraphStream,
        embedding: GraphStream,
        spec: DiarizationSpec,
        rules: LinkRules,
        decoding: DecodingSpec,
        step_s: float,
        latency_steps: float,
    ) -> None:
        """A step is decided once `latency_steps` old; at infinity when it leaves the window."""
        self._segmentation, self._embedding = segmentation, embedding
        self._turns = TurnRules.from_manifest(decoding, step_s)
        self._min_embedded = decoding.min_embedded_steps
        self._window, self._hop = spec.window_steps, spec.hop_steps
        self._latency = round(min(latency_steps, self._window - self._hop))
        self._step_s = step_s
        n_local = 1 + max(max(speakers, default=0) for speakers in spec.powerset)
        self._members = np.zeros((len(spec.powerset), n_local), np.float32)
        self._clean = np.zeros((len(spec.powerset), n_local), np.float32)
        for index, speakers in enumerate(spec.powerset):
            self._members[index, list(speakers)] = 1.0
            if len(speakers) == 1:
                self._clean[index, speakers[0]] = 1.0
        self._embedding_dim = spec.embedding_dim
        self.clusters = OnlineClusters(spec.embedding_dim, rules)
        self._steps = 0
        """Steps pushed so far."""
        self._done = 0
        """End of the last window."""
        self._decided = 0
        self._latents: tuple[Array, Array] | None = None
        """The last `window` steps and those not yet in a window, for both heads, `[1, n, d]`."""
        self._votes = np.zeros((self._window, rules.max_clusters), np.float32)
        """Sum of the votes of windows on the last `window` steps `[W, voices]`."""
        self._voters = np.zeros(self._window, np.float32)
        """How many windows voted on each of these steps `[W]`."""
        self._spoken = np.zeros(self._window, np.float32)
        self._last_active = np.full(rules.max_clusters, -1)
        """Last step at which each voice was active; -1 for a voice not yet found."""

    @property
    def speech(self) -> tuple[int, Array]:
        """First step of the last window, which may be before 0, and the posteriors `[W]` that
        somebody speaks at its steps, as that window alone says."""
        return self._done - self._window, self._spoken

    @property
    def recent(self) -> list[int]:
        """Voices found so far, the last active one first."""
        order = np.argsort(-self._last_active, kind="stable").tolist()
        return [voice for voice in order if self._last_active[voice] >= 0]

    def push(self, chunk: Chunk) -> list[Activity]:
        """Steps that became decided with this chunk, in order."""
        diarization = chunk.latents_diarization[:, : chunk.n_steps]
        speaker = chunk.latents_speaker[:, : chunk.n_steps]
        self._steps += chunk.n_steps
        if self._latents is not None:
            diarization = np.concatenate([self._latents[0], diarization], axis=1)
            speaker = np.concatenate([self._latents[1], speaker], axis=1)
        self._latents = (diarization, speaker)
        decided = []
        while self._steps - self._done >= self._hop:
            decided.append(self._advance(self._done + self._hop, self._latency))
        keep = self._window + self._steps - self._done
        self._latents = (self._latents[0][:, -keep:], self._latents[1][:, -keep:])
        return [activity for activity in decided if len(activity.scores)]

    def join(self, groups: Sequence[int]) -> None:
        """Merge voices: voice `v` becomes `groups[v]`. Numbers given out before are void."""
        members, n_voices = list(groups), len(groups)
        votes, last = self._votes.T[:n_voices].copy(), self._last_active[:n_voices].copy()
        self._votes[:], self._last_active[:] = 0.0, -1
        np.add.at(self._votes.T, members, votes)
        np.maximum.at(self._last_active, members, last)
        self.clusters.join(groups)

    @property
    def undecided(self) -> Activity:
        """The mean vote of the windows so far on the steps that are not decided."""
        return self._mean_votes(self._decided, self._done)

    def finish(self) -> list[Activity]:
        """Decide everything that was pushed."""
        activity = self._advance(self._steps, 0)
        return [activity] if len(activity.scores) else []

    def _advance(self, end: int, latency: int) -> Activity:
        """Segment the window that ends at `end`; decide what is `latency` steps older than that."""
        if end > self._done:
            shift = end - self._done
            self._votes = np.concatenate([self._votes[shift:], np.zeros_like(self._votes[:shift])])
            self._voters = np.concatenate([self._voters[shift:], np.zeros(shift, np.float32)])
            self._done = end
            self._vote(end)
        first, last = self._decided, max(self._decided, end - latency)
        self._decided = last
        return self._mean_votes(first, last)

    def _mean_votes(self, first: int, last: int) -> Activity:
        """Mean vote on the steps from `first` to before `last`, all in the last window."""
        origin = self._done - self._window
        part = slice(first - origin, last - origin)
        voters = np.maximum(self._voters[part, None], np.float32(1.0))
        # Two local speakers who are one voice may both be active at a step.
        return Activity(first, np.minimum(self._votes[part] / voters, np.float32(1.0)))

    def _window_at(self, end: int) -> tuple[Array, Array, Array]:
        """Latents of both heads `[1, W, d]` up to step `end`, and which steps exist `[1, W]`."""
        assert self._latents is not None  # noqa: S101 - push comes before
        have = min(end, self._window)
        stop = self._latents[0].shape[1] - (self._steps - end)
        pad = ((0, 0), (self._window - have, 0), (0, 0))
        parts = [np.pad(latents[:, stop - have : stop], pad) for latents in self._latents]
        valid = np.zeros((1, self._window), np.float32)
        valid[0, self._window - have :] = 1.0
        return parts[0], parts[1], valid

    def _vote(self, end: int) -> None:
        diarization, speaker, valid = self._window_at(end)
        logprobs = self._segmentation.run(latents=diarization, valid=valid)["logprobs"][0]
        posteriors = np.exp(logprobs) * valid[0][:, None]
        self._spoken = valid[0] - posteriors[:, 0]
        active, clean = posteriors @ self._members, posteriors @ self._clean
        self._voters += valid[0]
        stretches = find_stretches(active, self._turns)
        weights = np.zeros((len(stretches), self._window), np.float32)
        for row, stretch in zip(weights, stretches, strict=True):
            span = slice(stretch.start, stretch.end)
            row[span] = clean[span, stretch.local]
        usable = np.flatnonzero(weights.sum(1) >= self._min_embedded)
        embeddings = self._embed(speaker, weights[usable])
        links = self.clusters.link(embeddings, weights[usable].sum(1) * self._step_s)
        for index, voice in zip(usable.tolist(), links, strict=True):
            if voice != NOBODY:
                stretch = stretches[index]
                own = slice(stretch.first, stretch.last)
                self._votes[own, voice] += active[own, stretch.local]
                last = end - self._window + stretch.end - 1
                self._last_active[voice] = max(self._last_active[voice], last)

    def _embed(self, speaker: Array, weights: Array) -> Array:
        """Embeddings `[N, E]` of the speech under each row of weights `[N, W]`, as many rows at a
        time as the graph takes; `speaker` are latents `[1, W, d]`."""
        n_rows = self._clean.shape[1]
        parts = [np.zeros((0, self._embedding_dim), np.float32)]
        for start in range(0, len(weights), n_rows):
            rows = weights[start : start + n_rows]
            padded = np.pad(rows, ((0, n_rows - len(rows)), (0, 0)))[None]
            outputs = self._embedding.run(latents=speaker, weights=padded)
            parts.append(outputs["embeddings"][0, : len(rows)])
        return np.concatenate(parts)
