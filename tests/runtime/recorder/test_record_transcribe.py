"""From segments to results: live, late or after a crash, they are the same."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge.errors import EngineError
from echo_edge.recorder import log
from echo_edge.recorder.messages import (
    Line,
    Message,
    Tentative,
    rounded,
    to_line,
)
from echo_edge.recorder.options import Options, Report
from echo_edge.recorder.recordings import new_recording
from echo_edge.recorder.recover import recover
from echo_edge.recorder.segments import SegmentWriter, segments
from echo_edge.recorder.storage import lock
from echo_edge.recorder.transcribe import GAP_S, Timeline, follow
from echo_edge.session import Session
from tests.runtime.recording import about

Array = NDArray[np.float32]
SAID = [(2.0, (0,), 2), (0.2, (), 1), (2.0, (1,), 3), (1.0, (), 1), (3.0, (0,), 4), (1.0, (), 1)]
OPTIONS = Options(latency_s=0.4)


@pytest.fixture
def conversation(spoken: Callable[..., Array]) -> NDArray[np.int16]:
    """Three turns of two speakers, twice; int16, as segments keep it."""
    return np.rint(spoken(SAID * 2) * 32768).astype(np.int16)


def _recording(out: Path, options: Options = OPTIONS) -> Path:
    return new_recording(out, about(options=options), datetime.now(UTC))


def _expected(session: Session, audio: NDArray[np.int16]) -> list[Line]:
    stream = OPTIONS.stream(session)
    parts = (stream.push(audio.astype(np.float32) / 32768), stream.finish())
    found = [to_line(rounded(turn)) for part in parts for turn in part.turns]
    return found + [to_line(rounded(word)) for part in parts for word in part.words]


def _results(folder: Path) -> list[Line]:
    found = log.read_lines(folder / log.RESULTS)
    return [line for line in found if line["type"] in ("turn", "word")]


def _sorted(found: list[Line]) -> list[str]:
    return sorted(json.dumps(line, sort_keys=True) for line in found)


def _commands(writer: SegmentWriter, audio: NDArray[np.int16]) -> Iterator[str | None]:
    """The recorder: writes a little between any two steps of the transcriber, then stops."""
    for piece in np.array_split(audio, 97):
        writer.write(piece)
        yield None
    writer.close()
    yield "stop"
    while True:
        yield None


def _ignore(_: Message) -> None:
    """Nobody wants it."""


def _noted(reported: list[Line]) -> Report:
    """Takes messages as the lines that they are."""
    return lambda message: reported.append(to_line(message))


def test_live_is_the_same_as_at_once(
    tmp_path: Path, fake_session: Session, conversation: NDArray[np.int16]
) -> None:
    folder, reported = _recording(tmp_path), list[Line]()
    commands = _commands(SegmentWriter(folder, 40_000), conversation)

    assert follow(folder, fake_session, OPTIONS, commands, _noted(reported))

    assert len(_results(folder)) > 6
    assert _sorted(_results(folder)) == _sorted(_expected(fake_session, conversation))
    final = [line for line in reported if line["type"] in ("turn", "word")]
    assert final == _results(folder)
    ahead = [line for line in reported if line["type"] == "tentative"]
    assert len(ahead) > 6
    assert ahead[-1] == to_line(Tentative())
    assert {turn["speaker"] for line in ahead for turn in line["turns"]} == {
        "speaker_1", "speaker_2",
    }  # fmt: skip
    result = json.loads((folder / "result.json").read_bytes())
    assert result["schema"] == "echo-edge.result/1"
    assert result["audio"]["duration_s"] == len(conversation) / 16000
    assert len(result["turns"]) + len(result["words"]) == len(_results(folder))
    assert [speaker["id"] for speaker in result["speakers"]] == ["speaker_1", "speaker_2"]
    assert (folder / "result.rttm").read_text().count("SPEAKER") == len(result["turns"])
    assert (folder / "result.vtt").read_text().startswith("WEBVTT")


def test_recovered_is_the_same_as_live(
    tmp_path: Path, fake_session: Session, conversation: NDArray[np.int16]
) -> None:
    """The crash: half of the audio, its header untold, a torn line, no results."""
    folder, cut = _recording(tmp_path), 100_001
    writer = SegmentWriter(folder, 40_000)
    writer.write(conversation[:cut])
    (folder / log.RESULTS).write_bytes(b'{"type": "turn", "start_s": 0.0, "end_s"')
    said: list[str] = []

    assert recover(tmp_path, lambda _: fake_session, said.append) == 1

    assert _sorted(_results(folder)) == _sorted(_expected(fake_session, conversation[:cut]))
    assert len(said) == 1
    assert "6.3 s of audio" in said[0]
    assert recover(tmp_path, lambda _: pytest.fail("no work, no session"), said.append) == 0
    writer.close()


def test_a_session_that_is_being_recorded_is_left_alone(
    tmp_path: Path, fake_session: Session
) -> None:
    folder = _recording(tmp_path)
    held = lock(folder)
    assert held is not None

    assert recover(tmp_path, lambda _: fake_session, lambda _: None) == 0

    assert not (folder / "result.json").exists()


def test_a_session_without_audio(tmp_path: Path, fake_session: Session) -> None:
    folder = _recording(tmp_path)

    assert recover(folder, lambda _: fake_session, lambda _: None) == 1

    assert json.loads((folder / "result.json").read_bytes())["turns"] == []


@pytest.mark.parametrize("n_good", range(40))
def test_an_engine_that_raises_at_the_nth_chunk(
    tmp_path: Path, fake_session: Session, conversation: NDArray[np.int16], n_good: int
) -> None:
    """What was final stays; once the engine works, recovery gives the rest. Every chunk of 40."""
    conversation = conversation[: 40 * fake_session.bundle.manifest.audio.chunk_samples]
    folder, calls = _recording(tmp_path), 0
    encoder = fake_session.engines["encoder"]

    class Failing:
        def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
            nonlocal calls
            calls += 1
            if calls > n_good:
                raise EngineError("encoder: out of memory")
            return encoder.run(inputs)

        def close(self) -> None:
            """Nothing to free."""

    broken = replace(fake_session, engines=fake_session.engines | {"encoder": Failing()})
    commands = _commands(SegmentWriter(folder, 20_000), conversation)

    with pytest.raises(EngineError, match="out of memory"):
        follow(folder, broken, OPTIONS, commands, _ignore)
    for _ in commands:  # the recorder goes on
        if segments(folder)[-1].end == len(conversation):
            break
    before = _results(folder)
    recover(folder, lambda _: fake_session, lambda _: None)

    assert _sorted(_results(folder)) == _sorted(_expected(fake_session, conversation))
    assert [line for line in before if line not in _results(folder)] == []


def test_times_jump_where_the_recording_does(
    tmp_path: Path, fake_session: Session, conversation: NDArray[np.int16]
) -> None:
    folder = _recording(tmp_path)
    writer = SegmentWriter(folder, 40_000)
    half = len(conversation) // 2
    writer.write(conversation[:half])
    writer.skip(16_000 * 3600)
    writer.write(conversation[half:])
    writer.close()

    recover(folder, lambda _: fake_session, lambda _: None)

    turns = [x for x in _results(folder) if x["type"] == "turn"]
    first, second = turns[: len(turns) // 2], turns[len(turns) // 2 :]
    offset_s = half / 16000 + 3600
    assert [x["start_s"] + offset_s for x in first] == pytest.approx([x["start_s"] for x in second])
    assert [x["end_s"] + offset_s for x in first] == pytest.approx([x["end_s"] for x in second])
    assert [x["speaker"] for x in first] == [x["speaker"] for x in second]
    duration_s = json.loads((folder / "result.json").read_bytes())["audio"]["duration_s"]
    assert duration_s == len(conversation) / 16000 + 3600


def test_the_stream_is_spared_long_gaps() -> None:
    timeline = Timeline()
    timeline.jump(round((10 + GAP_S) * 16000), 16000 * 100)

    assert [timeline.recording_s(t) for t in (0.0, 10.0, 12.0, 10 + GAP_S, 20.0)] == pytest.approx(
        [0.0, 10.0, 12.0, 100.0, 105.0]
    )


def test_forgotten_words_are_nowhere(
    tmp_path: Path, fake_session: Session, conversation: NDArray[np.int16]
) -> None:
    """Those that were written and those that were yet to be decided."""
    folder = _recording(tmp_path)
    writer, reported = SegmentWriter(folder, 40_000), list[Line]()

    def commands() -> Iterator[str | None]:
        for piece in np.array_split(conversation, 50):
            writer.write(piece)
            yield None
        first, end = writer.forget(16_000 * 6), writer.position
        yield f"forget {first} {end}"
        writer.write(conversation[:40_000])
        writer.close()
        yield "stop"
        while True:
            yield None

    assert follow(folder, fake_session, OPTIONS, commands(), _noted(reported))

    end_s = len(conversation) / 16000
    within = [x for x in _results(folder) if x["start_s"] < end_s and x["end_s"] > end_s - 6 + 1e-3]
    assert within == []
    assert [x for x in reported if x.get("end_s", 0) > end_s - 6 and x.get("start_s", 99) < end_s]
    assert [x for x in _results(folder) if x["start_s"] >= end_s]
    assert sum(each.n_samples for each in segments(folder)) == len(conversation) - 56_000


def test_results_wait_while_there_is_no_room(
    tmp_path: Path, fake_session: Session, conversation: NDArray[np.int16]
) -> None:
    folder = _recording(tmp_path)
    writer = SegmentWriter(folder, 40_000)
    writer.write(conversation)
    writer.close()

    assert not follow(folder, fake_session, OPTIONS, iter(["hold", None, "stop", None]), _ignore)

    assert _results(folder) == []
    assert not (folder / "result.json").exists()


def test_old_results_outlive_their_audio(
    tmp_path: Path, fake_session: Session, conversation: NDArray[np.int16]
) -> None:
    """The oldest segments went to make room; then came the crash."""
    folder = _recording(tmp_path)
    commands = _commands(SegmentWriter(folder, 40_000), conversation)
    follow(folder, fake_session, OPTIONS, commands, _ignore)
    before = _results(folder)
    for each in segments(folder)[:3]:
        each.path.unlink()
    (folder / "result.json").unlink()

    recover(folder, lambda _: fake_session, lambda _: None)

    after, gone_s = _results(folder), 120_000 / 16000
    early = [x for x in before if x["end_s"] <= gone_s]
    assert len(early) >= 4
    assert [x for x in after if x["end_s"] < gone_s] == early
    late = [x for x in before if x["type"] == "turn" and x["start_s"] > gone_s + 1]
    assert [x["speaker"] for x in late] == [
        x["speaker"] for x in after if x["type"] == "turn" and x["start_s"] > gone_s + 1
    ]
