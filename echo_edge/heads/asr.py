"""The transcriber: its graph and a search over its log-posteriors, from chunks to words."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.verify import Bundle
from echo_edge.engines.stateful import GraphStream
from echo_edge.frontend import Chunk
from echo_edge.heads.beam import BeamSearch
from echo_edge.heads.ctc import BestPath, DecodedWord, Search
from echo_edge.result import Word

Array = NDArray[np.float32]


class AsrDecoder:
    """Runs the asr graph and searches its output for words; who says them is not known here."""

    def __init__(self, graph: GraphStream, output: str, search: Search, frame_s: float) -> None:
        """`output` is the graph's output to search, `[1, frames, tokens]`, `frame_s` a frame."""
        self._graph, self._output = graph, output
        self._search = search
        self._frame_s = frame_s
        self.end_s = 0.0
        """Length of the audio so far."""
        self._n_frames = 0
        self.logprobs: Array = np.zeros((0, 0), np.float32)
        """Log-posteriors of the characters of the last chunk, `[frames, tokens]`."""

    def push(self, chunk: Chunk) -> list[Word]:
        """Words that are complete with this chunk."""
        self.end_s = chunk.end_s
        outputs = self._graph.run(latents=chunk.latents_asr)
        self.logprobs = outputs["logprobs"][0]
        self._n_frames += len(self.logprobs)
        decoded = [word for frame in outputs[self._output][0] for word in self._search.push(frame)]
        return [self._word(word) for word in decoded]

    @property
    def next_s(self) -> float:
        """No word that is still to come begins before this."""
        return min(self._search.next_frame * self._frame_s, self.end_s)

    @property
    def heard_s(self) -> float:
        """End of the frames so far, `next_s` where no word is begun. `end_s` may be later."""
        return min(self._n_frames * self._frame_s, self.end_s)

    def peek(self) -> list[Word]:
        """The words that are not complete, as they look now."""
        return [self._word(word) for word in self._search.peek()]

    def finish(self) -> list[Word]:
        """The words that are left when the audio ends."""
        return [self._word(word) for word in self._search.finish()]

    def _word(self, word: DecodedWord) -> Word:
        """No word ends after the audio, though a transcriber that lags may write it then."""
        start_s, end_s = (
            min(frame * self._frame_s, self.end_s) for frame in (word.first, word.end)
        )
        return Word(start_s, end_s, word.text, None, word.confidence)


def open_asr(
    bundle: Bundle, graph: Callable[[str], GraphStream], language_model: bool
) -> AsrDecoder:
    """The transcriber of a bundle, with its language model if it has one and `language_model`.

    `graph` gives a graph of the bundle by name, its state silence.
    """
    manifest, language = bundle.manifest, bundle.language if language_model else None
    step_s = manifest.streaming.step_samples / manifest.audio.sample_rate
    frame_s = step_s / manifest.asr.frames_per_step
    if language is None:
        silence = round(manifest.decoding.word_silence_s / frame_s)
        return AsrDecoder(graph("asr"), "logprobs", BestPath(bundle.tokens, silence), frame_s)
    search = BeamSearch(language, manifest.decoding, frame_s)
    return AsrDecoder(graph("asr"), "phones", search, frame_s)
