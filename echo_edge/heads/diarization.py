"""Who is active when: overlapping windows of local speakers, linked to voices, averaged, decided.

Every `hop_steps` the last window is segmented into up to three local speakers; their embeddings and
the activity they share with earlier windows link them to voices; all windows that saw a step vote
on it, until it is `latency_steps` old and decided for good. Memory does not grow.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echo_edge.clustering import NOBODY, LinkRules, OnlineClusters
from echo_edge.graph import GraphStream
from echo_edge.manifest import DiarizationSpec

Array = NDArray[np.float32]

SHORTEST_EMBEDDED_STEPS = 5.0
"""Below this much clean speech in a window (0.2 s) a local speaker has no usable embedding."""


PROBABLE = 0.5
"""From this on a voice counts as heard at a step."""


@dataclass(frozen=True)
class Activity:
    """Decided steps from `first_step` on: how sure each voice is active, `[steps, voices]`."""

    first_step: int
    scores: Array


class DiarizationDecoder:
    """From latents to decided activity of voices. A voice is an index that never changes."""

    def __init__(
        self,
        segmentation: GraphStream,
        embedding: GraphStream,
        spec: DiarizationSpec,
        rules: LinkRules,
        step_s: float,
        latency_steps: int,
    ) -> None:
        self._segmentation, self._embedding = segmentation, embedding
        self._window, self._hop = spec.window_steps, spec.hop_steps
        self._latency = min(latency_steps, self._window - self._hop)
        self._step_s = step_s
        n_local = 1 + max(max(speakers, default=0) for speakers in spec.powerset)
        self._members = np.zeros((len(spec.powerset), n_local), np.float32)
        self._alone = np.zeros((len(spec.powerset), n_local), np.float32)
        for index, speakers in enumerate(spec.powerset):
            self._members[index, list(speakers)] = 1.0
            if len(speakers) == 1:
                self._alone[index, speakers[0]] = 1.0
        self.clusters = OnlineClusters(spec.embedding_dim, rules)
        self._steps = 0
        """Steps pushed so far."""
        self._done = 0
        """End of the last window."""
        self._decided = 0
        self._latents: tuple[Array, Array] | None = None
        """The last `window` steps and those not yet in a window, for both heads, `[1, n, d]`."""
        self._votes = np.zeros((self._window, rules.max_clusters), np.float32)
        """Sum of what windows said about the last `window` steps, and how many said it."""
        self._voters = np.zeros(self._window, np.float32)
        self._last_heard = np.full(rules.max_clusters, -1)
        """Last step at which each voice was probably active; -1 for a voice not yet found."""

    @property
    def recent(self) -> list[int]:
        """Voices found so far, last heard first."""
        order = np.argsort(-self._last_heard, kind="stable").tolist()
        return [voice for voice in order if self._last_heard[voice] >= 0]

    def push(self, diarization: Array, speaker: Array) -> list[Activity]:
        """What became decided with these latents, both `[1, n, d]`."""
        self._steps += diarization.shape[1]
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

    @property
    def undecided(self) -> Activity:
        """What the windows so far say of the steps that are not decided."""
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
        """Of the steps from `first` to before `last`, all in the last window."""
        origin = self._done - self._window
        part = slice(first - origin, last - origin)
        voters = np.maximum(self._voters[part, None], np.float32(1.0))
        return Activity(first, (self._votes[part] / voters).astype(np.float32))

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
        active, alone = posteriors @ self._members, posteriors @ self._alone
        self._voters += valid[0]
        clean_steps = alone.sum(0)
        if clean_steps.max() < SHORTEST_EMBEDDED_STEPS:
            return
        weights = np.ascontiguousarray(alone.T)[None]
        embeddings = self._embedding.run(latents=speaker, weights=weights)["embeddings"][0]
        embeddings = np.where(clean_steps[:, None] >= SHORTEST_EMBEDDED_STEPS, embeddings, 0.0)
        links = self.clusters.link(embeddings, clean_steps * self._step_s, self._alike(active))
        for local, voice in enumerate(links):
            if voice != NOBODY:
                self._votes[:, voice] += active[:, local]
                heard = np.flatnonzero(active[:, local] >= PROBABLE)
                last = end - self._window + int(heard[-1]) if len(heard) else 0
                self._last_heard[voice] = max(self._last_heard[voice], last)

    def _alike(self, active: Array) -> Array:
        """Cosine `[K, voices]` between local activities and what earlier windows said."""
        seen = np.maximum(self._voters - 1.0, 0.0)[:, None]
        before = np.where(seen > 0, self._votes / np.maximum(seen, 1.0), 0.0)
        shared = active * (seen > 0)
        norms = np.linalg.norm(shared, axis=0)[:, None] * np.linalg.norm(before, axis=0)
        alike: Array = (shared.T @ before / np.maximum(norms, 1e-3)).astype(np.float32)
        return alike
