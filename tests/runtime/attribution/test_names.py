"""Who gets which name: on synthetic voices, in streams of the pretend model, in other programs."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_edge.attribution.names import NameGiver, NameRules, Speech, VoiceSpeech
from echo_edge.errors import UsageError, VoicesError
from echo_edge.heads.clustering import LinkRules, OnlineClusters
from echo_edge.heads.diarization import Activity
from echo_edge.result import Result, Speaker, Turn
from echo_edge.session import Session
from echo_edge.voices import Voiceprint, Voices
from echo_edge.writers.formats import to_rttm
from tests.conftest import DECODING

Array = NDArray[np.float32]
Spoken = Callable[..., Array]

RULES = NameRules(threshold=0.6, min_speech_s=3.0)


def test_rules_are_those_of_the_bundle() -> None:
    decoding = replace(DECODING, voice_threshold=0.7, name_min_s=8.0)

    assert NameRules.from_manifest(decoding) == NameRules(0.7, 8.0)


LONG = 60.0


def _voices(checkpoint: str = "c" * 64, **people: tuple[float, ...]) -> Voices:
    voices = Voices()
    for name, direction in people.items():
        voiceprint = Voiceprint.from_vector(np.array(direction, np.float32), LONG, checkpoint)
        voices = voices.learn(name, voiceprint)
    return voices


def _speech(*voices: tuple[tuple[float, ...], float]) -> Speech:
    """Directions, and for how long each was heard."""
    table = np.array([direction for direction, _ in voices], np.float32)
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    return Speech(unit, np.array([heard_s for _, heard_s in voices], np.float32))


class TestNameGiver:
    PEOPLE = _voices(Ada=(1.0, 0.0, 0.0), Bert=(0.0, 1.0, 0.0))

    @pytest.mark.parametrize(
        ("heard", "names"),
        [
            pytest.param([((1, 0, 0), LONG), ((0, 1, 0), LONG)], {0: "Ada", 1: "Bert"}, id="both"),
            pytest.param([((0, 0, 1), LONG)], {}, id="unknown"),
            pytest.param([((1, 0, 1.2), LONG)], {0: "Ada"}, id="alike enough"),
            pytest.param([((1, 0, 1.4), LONG)], {}, id="not alike enough"),
            pytest.param([((1, 0, 0), 2.9)], {}, id="heard for too short a time"),
            pytest.param([((1, 0, 0), 3.0)], {0: "Ada"}, id="heard for long enough"),
            pytest.param(
                [((1, 0, 0.9), LONG), ((1, 0, 0.1), LONG)], {1: "Ada"}, id="the more alike"
            ),
            pytest.param([((1, 0.9, 0), LONG)], {0: "Ada"}, id="between two"),
            pytest.param(
                [((1, 0.9, 0), LONG), ((1, 0, 0), LONG)], {0: "Bert", 1: "Ada"}, id="second choice"
            ),
        ],
    )
    def test_names(
        self, heard: list[tuple[tuple[float, ...], float]], names: dict[int, str]
    ) -> None:
        giver = NameGiver(self.PEOPLE, RULES)

        giver.update(_speech(*heard))

        assert giver.names == names

    def test_a_name_is_never_taken_back(self) -> None:
        giver = NameGiver(self.PEOPLE, RULES)
        giver.update(_speech(((1, 0, 0.9), LONG)))

        giver.update(_speech(((0, 0, 1), LONG), ((1, 0, 0), LONG)))

        assert giver.names == {0: "Ada"}

    def test_a_name_may_come_later(self) -> None:
        giver = NameGiver(self.PEOPLE, RULES)
        giver.update(_speech(((1, 0, 2), LONG)))

        giver.update(_speech(((1, 0, 0.2), LONG)))

        assert giver.names == {0: "Ada"}

    def test_nobody_is_known_or_heard(self) -> None:
        nobody, unheard = NameGiver(Voices(), RULES), NameGiver(self.PEOPLE, RULES)

        nobody.update(_speech(((1, 0, 0), LONG)))
        unheard.update(Speech(np.zeros((0, 3), np.float32), np.zeros(0, np.float32)))

        assert nobody.names == unheard.names == {}

    @given(
        known=st.integers(1, 6), heard=st.integers(1, 6), looks=st.integers(1, 4),
        seed=st.integers(0, 999),
    )  # fmt: skip
    def test_what_always_holds(self, known: int, heard: int, looks: int, seed: int) -> None:
        """No name twice, none below the threshold when it is given, none changed."""
        rng = np.random.default_rng(seed)
        directions = {f"p{i}": tuple(rng.normal(size=3)) for i in range(known)}
        giver = NameGiver(_voices(**directions), RULES)
        for _ in range(looks):
            before = dict(giver.names)
            speech = _speech(*((tuple(rng.normal(size=3)), LONG) for _ in range(heard)))

            giver.update(speech)

            assert before.items() <= giver.names.items()
            assert len(set(giver.names.values())) == len(giver.names)
            for voice in giver.names.keys() - before.keys():
                known_voice = np.array(directions[giver.names[voice]])
                cosine = speech.centroids[voice] @ known_voice / np.linalg.norm(known_voice)
                assert cosine >= RULES.threshold - 1e-3


class TestVoiceSpeech:
    def _heard(self) -> VoiceSpeech:
        clusters = OnlineClusters(2, LinkRules(0.7, 1.0, 4))
        for direction in ((1.0, 0.0), (0.0, 1.0), (0.6, 0.8)):
            clusters.link(np.array([direction], np.float32), np.array([2.0]))
        speech = VoiceSpeech(clusters, 0.5, 0.5)
        speech.add(Activity(0, np.array([[1, 0, 0, 0], [1, 0.6, 0, 0]], np.float32)))
        speech.add(Activity(2, np.array([[0, 0.4, 0.5, 0]], np.float32)))
        return speech

    def test_per_voice(self) -> None:
        """Two voices: the third direction was near the second."""
        speech = self._heard().snapshot()

        np.testing.assert_allclose(speech.speech_s, [1.0, 0.5])
        np.testing.assert_allclose(speech.centroids, [[1.0, 0.0], [0.316228, 0.948683]], atol=1e-5)

    def test_joined(self) -> None:
        """Centroids by clean speech, here 2 and 4 s; what is heard from then on is of the whole."""
        clusters = OnlineClusters(2, LinkRules(0.7, 1.0, 4))
        clusters.link(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), np.array([2.0, 4.0]))
        clusters.join((0, 0))
        speech = VoiceSpeech(clusters, 0.5, 0.5)
        speech.add(Activity(0, np.array([[1, 0], [0.6, 0]], np.float32)))

        np.testing.assert_allclose(
            speech.snapshot().centroids, [[2 / 20**0.5, 4 / 20**0.5]], atol=1e-5
        )
        np.testing.assert_allclose(speech.snapshot().speech_s, [1.0])

    def test_nothing_heard(self) -> None:
        speech = VoiceSpeech(OnlineClusters(2, LinkRules(0.7, 1.0, 4)), 0.5, 0.5)

        assert speech.snapshot().centroids.shape == (0, 2)
        assert speech.snapshot().speech_s.shape == (0,)


A, B, C = 2, 3, 4


class TestStream:
    """Speaker n of the pretend model sounds like direction n."""

    @pytest.fixture
    def voices(self, fake_session: Session) -> Voices:
        sha256 = fake_session.bundle.manifest.source.checkpoint_sha256
        return _voices(sha256, Ada=(1.0, 0, 0, 0, 0, 0), Cleo=(0, 0, 1.0, 0, 0, 0))

    @pytest.fixture
    def pcm(self, spoken: Spoken) -> Array:
        """Speakers 1, 0, 2 in this order, the last for too short a time."""
        return spoken([(4.0, (1,), A), (0.6, (), 1), (4.0, (0,), B), (0.6, (), 1), (1.2, (2,), C)])

    @pytest.mark.parametrize("latency_s", [0.4, math.inf])
    def test_known_and_unknown(
        self, fake_session: Session, voices: Voices, pcm: Array, latency_s: float
    ) -> None:
        result = fake_session.process(pcm, latency_s, voices=voices)

        assert [(speaker.id, speaker.name) for speaker in result.speakers] == [
            ("speaker_1", None),
            ("speaker_2", "Ada"),
            ("speaker_3", None),
        ]

    @pytest.mark.parametrize("latency_s", [0.4, math.inf])
    def test_nothing_but_names_changes(
        self, fake_session: Session, voices: Voices, pcm: Array, latency_s: float
    ) -> None:
        named = fake_session.process(pcm, latency_s, voices=voices)
        plain = fake_session.process(pcm, latency_s)

        assert plain.speakers != named.speakers
        assert replace(named, speakers=plain.speakers) == plain

    def test_a_name_comes_while_its_speaker_talks_and_stays(
        self, fake_session: Session, voices: Voices, pcm: Array
    ) -> None:
        stream, seen = fake_session.stream(0.4, voices=voices), list[str | None]()
        for start in range(0, len(pcm), 1600):
            speakers = {s.id: s.name for s in stream.push(pcm[start : start + 1600]).speakers}
            seen += [speakers["speaker_2"]] if "speaker_2" in speakers else []

        names = [*seen, *(s.name for s in stream.finish().speakers if s.id == "speaker_2")]

        assert names[-1] == "Ada"
        first = names.index("Ada")
        assert names == [None] * first + ["Ada"] * (len(names) - first)

    @pytest.mark.parametrize("size", [160, 4321, 10**6])
    @pytest.mark.parametrize("latency_s", [0.4, math.inf])
    def test_any_cutting_gives_the_same(
        self, fake_session: Session, voices: Voices, pcm: Array, size: int, latency_s: float
    ) -> None:
        stream = fake_session.stream(latency_s, voices=voices)
        parts = [stream.push(pcm[i : i + size]) for i in range(0, len(pcm), size)]

        assert Result.joined([*parts, stream.finish()]) == fake_session.process(
            pcm, latency_s, voices=voices
        )

    def test_voices_of_another_checkpoint(self, fake_session: Session) -> None:
        with pytest.raises(VoicesError, match="found voices that checkpoint eeeeeeeeeeee learned"):
            fake_session.stream(voices=_voices("e" * 64, Ada=(1.0, 0.0)))

    @pytest.mark.parametrize("latency_s", [0.4, math.inf])
    def test_what_is_learned_is_recognised(
        self, fake_session: Session, pcm: Array, latency_s: float
    ) -> None:
        first = fake_session.stream(latency_s)
        first.push(pcm)
        first.finish()

        voices = Voices().learn("Bert", first.voiceprint("speaker_1"))

        assert voices.find("Bert").voiceprint.speech_s == pytest.approx(4.0, abs=0.2)
        names = [s.name for s in fake_session.process(pcm, voices=voices).speakers]

        assert names == ["Bert", None, None]

    def test_voiceprint_of_nobody(self, fake_session: Session, pcm: Array) -> None:
        stream = fake_session.stream()
        stream.push(pcm[:16000])

        with pytest.raises(UsageError, match="found no speaker 'speaker_9'"):
            stream.voiceprint("speaker_9")


@pytest.fixture(params=[0.4, math.inf], ids=["live", "at the end"])
def result(request: pytest.FixtureRequest, fake_session: Session, spoken: Spoken) -> Result:
    """Of a conversation in which people overlap."""
    said = [(2.0, (0,)), (0.4, (0, 1)), (2.0, (1,)), (0.4, (1, 2)), (2.4, (2,)), (0.4, (0, 2))]
    pcm = spoken([(seconds, speakers, A) for seconds, speakers in [*said, *said, (2.0, (0,))]])
    return fake_session.process(pcm, request.param)


class TestExclusive:
    def test_no_two_overlap(self, result: Result) -> None:
        turns = result.exclusive().turns

        assert len(turns) >= 3
        assert any(a.end_s > b.start_s for a, b in pairwise(sorted(result.turns, key=_start)))
        for before, after in pairwise(turns):
            assert before.end_s <= after.start_s

    def test_every_turn_is_part_of_one_of_its_speaker(self, result: Result) -> None:
        for turn in result.exclusive_turns:
            assert any(
                each.speaker == turn.speaker
                and each.start_s <= turn.start_s + 1e-9
                and turn.end_s <= each.end_s + 1e-9
                for each in result.turns
            )

    def test_all_speech_is_somebody_s(self, result: Result) -> None:
        """But for what is too short for a turn of its own."""
        whole, exclusive = _annotation(result), _annotation(result.exclusive())

        missing = whole.get_timeline().support().duration() - exclusive.get_timeline().duration()

        assert 0.0 <= missing < 0.4

    def test_pyannote_sees_no_overlap(self, result: Result) -> None:
        assert _annotation(result).get_overlap().duration() > 0.4
        assert _annotation(result.exclusive()).get_overlap().duration() == 0.0

    def test_meeteval_scores_it_as_one_speaker_at_a_time(
        self, result: Result, tmp_path: Path
    ) -> None:
        meeteval = pytest.importorskip("meeteval", reason="needs echo-edge[eval]")
        path = tmp_path / "a.rttm"
        path.write_text(to_rttm(result.exclusive(), "a"))

        lines = meeteval.io.RTTM.load(path).sorted("begin_time")

        assert len(lines) == len(result.exclusive_turns)
        ends = [line.begin_time + line.duration for line in lines]
        starts = [line.begin_time for line in lines]
        assert all(end <= start for end, start in zip(ends[:-1], starts[1:], strict=True))

    def test_only_turns_differ(self, result: Result) -> None:
        assert replace(result.exclusive(), turns=result.turns) == result


def _start(turn: Turn) -> float:
    return turn.start_s


def _annotation(result: Result) -> Any:
    core = pytest.importorskip("pyannote.core", reason="needs echo-edge[eval]")
    annotation = core.Annotation()
    for index, turn in enumerate(result.turns):
        annotation[core.Segment(turn.start_s, turn.end_s), index] = turn.speaker
    return annotation


def test_names_of_a_result() -> None:
    result = Result(speakers=(Speaker("speaker_1", None, 1.0), Speaker("speaker_2", "Ada", 1.0)))

    assert result.names == {"speaker_1": "speaker_1", "speaker_2": "Ada"}


@pytest.mark.parametrize("name", ["Ada Li", "Zoë", "李 雷", "d'Œuvre-Smith", "Tom & Jerry"])
def test_rttm_with_names_is_read_by_others(name: str) -> None:
    meeteval = pytest.importorskip("meeteval", reason="needs echo-edge[eval]")
    turns = (Turn(0.0, 1.0, "speaker_1", 0.9),)
    result = Result(turns, speakers=(Speaker("speaker_1", name, 1.0),))

    (line,) = meeteval.io.RTTM.parse(to_rttm(result, "a"))

    assert line.speaker_id == name.replace(" ", "_")
