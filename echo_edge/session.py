"""Load a bundle, stream audio through it: one code path for a microphone and for a file.

`Session` is immutable and may serve many streams, one at a time per thread.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import Reading, read_blocks
from echo_edge.audio.channels import AUTO
from echo_edge.bundle.find import find_bundle
from echo_edge.bundle.graph_io import check_contract
from echo_edge.bundle.verify import Bundle, open_bundle
from echo_edge.engines import Engine, check_engine, open_engine
from echo_edge.engines.stateful import GraphStream
from echo_edge.errors import AudioError, UsageError
from echo_edge.frontend import Pcm
from echo_edge.heads.separation_offline import KnownVoices, separate
from echo_edge.result import Result
from echo_edge.stream import MAX_SPEAKERS, Stream, StreamOptions
from echo_edge.voices import Voices

if TYPE_CHECKING:
    from echo_edge.bundle.keys import TrustedKeys

Array = NDArray[np.float32]

MAX_THREADS = 256
"""More can only be a mistake, and would bring the machine to a halt."""


class StreamArguments(TypedDict, total=False):
    """Arguments that `transcribe` and `listen` hand on to `Session.stream`."""

    min_speakers: int
    max_speakers: int
    language_model: bool
    voices: Voices | None


def load(
    path: str | PathLike[str] | None = None,
    threads: int = 1,
    trusted: "TrustedKeys | None" = None,
) -> "Session":
    """Verify the bundle in the folder `path` and load its graphs.

    Without `path` it is looked for as the commands do: $ECHO_EDGE_BUNDLE, the installed bundle,
    the one in the package. `threads` is the engine's thread count per graph. With `trusted` keys
    (`echo_edge.bundle.keys.trusted_keys`) one of them must have signed the bundle. Raises
    BundleError for a bundle that is not what its manifest promises and EngineError if its engine
    is absent, too old or fails.
    """
    if not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"threads: found {threads}, expected 1 to {MAX_THREADS}")
    folder = find_bundle(None) if path is None else path
    return load_bundle(open_bundle(folder, trusted), threads)


def load_bundle(bundle: Bundle, threads: int = 1) -> "Session":
    """Load the graphs of a bundle that has been verified; as `load` otherwise."""
    manifest = bundle.manifest
    check_contract(manifest)
    check_engine(manifest.engine)
    return Session(bundle, threads, _open_graphs(bundle, threads))


def _open_graphs(bundle: Bundle, threads: int) -> dict[str, Engine]:
    """All graphs. ONNX Runtime's two at a time, since one takes half of the time and the others the
    other half; the libraries of the other engines do not promise that they can."""
    engine, graphs, files = (
        bundle.manifest.engine.name,
        bundle.manifest.graphs,
        bundle.manifest.files,
    )

    def opened(name: str) -> Engine:
        return open_engine(engine, bundle.graph_path(name), graphs[name], threads)

    if engine != "onnx":
        return {name: opened(name) for name in graphs}
    from concurrent.futures import ThreadPoolExecutor  # it brings logging along

    largest_first = sorted(graphs, key=lambda name: -files[graphs[name].file].size_bytes)
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(largest_first, pool.map(opened, largest_first), strict=True))
    return {name: found[name] for name in graphs}


@dataclass(frozen=True)
class Session:
    """A verified bundle with its graphs loaded; a context manager, or call `close`."""

    bundle: Bundle
    threads: int
    engines: dict[str, Engine] = field(repr=False)

    def stream(
        self,
        latency_s: float = 2.0,
        *,
        min_speakers: int = 1,
        max_speakers: int = MAX_SPEAKERS,
        language_model: bool = True,
        voices: Voices | None = None,
        on_sources: Callable[[Array], None] | None = None,
    ) -> Stream:
        """A new stream.

        `latency_s`: longest wait for a decision (at least one hop of the diarization window, at
        most the window); infinity also decides the number of speakers at the end.
        `min_speakers`, `max_speakers`: bounds on their number. With a finite latency the upper one
        is sure; for the lower one labels would have to change, so until as many are known, a voice
        that is only a little different counts as a new one.
        `language_model`: whether words are searched for with the bundle's, if it has one.
        `voices`: people who are called by their names where they are heard (`speakers[].name` in
        results); VoicesError if another checkpoint learned them.
        `on_sources` receives separated waveforms `[K, samples]` as they become final; without it
        the separation graph does not run.
        """
        self._check_open("stream")
        options = StreamOptions(latency_s, min_speakers, max_speakers, language_model)
        return Stream(self.bundle, self.engines, options, on_sources, voices)

    def process(
        self,
        pcm: Pcm,
        latency_s: float = math.inf,
        *,
        min_speakers: int = 1,
        max_speakers: int = MAX_SPEAKERS,
        language_model: bool = True,
        voices: Voices | None = None,
    ) -> Result:
        """The whole result of a recording, `[samples]` at 16 kHz: `push`, then `finish`.

        Options as of `stream`; UsageError for a path, which `transcribe` takes.
        """
        if isinstance(pcm, str | PathLike):
            raise UsageError(
                f"process: found the path {pcm}, expected samples: session.transcribe(path)"
            )
        stream = self.stream(
            latency_s,
            min_speakers=min_speakers,
            max_speakers=max_speakers,
            language_model=language_model,
            voices=voices,
        )
        return Result.joined([stream.push(pcm), stream.finish()])

    def transcribe(
        self,
        path: str | PathLike[str],
        latency_s: float = math.inf,
        *,
        channel: str = AUTO,
        **options: Unpack[StreamArguments],
    ) -> Result:
        """The whole result of an audio file: whatever `read_blocks` reads.

        `channel`: a number from 1, `mix`, `loudest` or `auto`; options as of `stream`. Raises
        AudioError for a file that cannot be read, or not to its end: to keep what comes before
        the damage, `feed` a stream and `finish` it.
        """
        began_s = time.perf_counter()
        stream = self.stream(latency_s, **options)
        parts = list(stream.feed(read_blocks(path, reading=Reading(channel))))
        if not parts[-1].duration_s:
            raise AudioError(f"{path}: holds no samples, expected speech")
        whole = Result.joined(parts)
        wall_s = time.perf_counter() - began_s
        return replace(whole, origin=replace(whole.origin, path=str(path), wall_s=wall_s))

    def listen(
        self,
        device: str | None = None,
        latency_s: float = 2.0,
        *,
        seconds: float = math.inf,
        channel: str = AUTO,
        **options: Unpack[StreamArguments],
    ) -> Iterator[Result]:
        """Yield what becomes final of a microphone's audio, about twice a second.

        `device` is a name or a part of it, an index or an ALSA name; None the default one. Ends
        after `seconds`. Ctrl-C, while it waits, and AudioError, where the microphone delivers
        nothing for 10 s, are raised after the rest was yielded. Options as of `stream`. AudioError
        if there is no such microphone, or no sounddevice, which is the extra `mic`.
        """
        from echo_edge.recorder.listening import Listening

        stream = self.stream(latency_s, **options)
        block_s = self.bundle.manifest.audio.chunk_samples / self.bundle.manifest.audio.sample_rate
        with Listening(device, channel, block_s, seconds) as microphone:
            yield from stream.feed(microphone.blocks())
        if microphone.end is not None:
            raise microphone.end

    def separate(self, stream: Stream, result: Result, blocks: Iterable[Array]) -> Iterator[Array]:
        """The waveform of each speaker, from a second pass over the recording's `blocks`.

        Blocks are float32 `[n]`; `result` is all that `stream` gave, to its end. Yields waveforms
        `[speakers + 1, samples]`, as many samples in all as the blocks have: rows in the order of
        `result.speakers`, however many there are, then the rest. Far cleaner than the waveforms of
        `on_sources`, since every voice is known from the start. UsageError if the stream knows no
        such speaker.
        """
        prints = [stream.voiceprint(speaker.id).embedding for speaker in result.speakers]
        size = self.bundle.manifest.diarization.embedding_dim
        centroids = np.array(prints, np.float32).reshape(-1, size)
        known = KnownVoices(result.speakers, result.turns)
        return separate(self.graph, self.bundle.manifest, centroids, known, blocks)

    def graph(self, name: str) -> GraphStream:
        """One graph on its own, its state silence: to measure or to test it."""
        self._check_open("graph")
        return GraphStream(self.engines[name], self.bundle.manifest.graphs[name])

    def close(self) -> None:
        """Free the engines; streams of this session end here."""
        while self.engines:
            _, engine = self.engines.popitem()
            engine.close()

    def _check_open(self, verb: str) -> None:
        if not self.engines:
            raise UsageError(
                f"{verb}: found a closed session, expected an open one: echo_edge.load()"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
