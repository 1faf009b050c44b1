import pytest

from echo_edge.attribution.labels import Labels
from echo_edge.attribution.turns import VoiceTurn
from echo_edge.result import Result, Speaker, SpeakerCount, Turn, Word

STEP_S = 0.5
CONFIDENCE = 0.66


def _voiced(voice: int, start: int, end: int) -> VoiceTurn:
    return VoiceTurn(voice, start, end, 0.9)


def _turns(result: Result) -> list[tuple[float, float, str]]:
    return [(turn.start_s, turn.end_s, turn.speaker) for turn in result.turns]


def _word(text: str) -> Word:
    return Word(0.0, 1.0, text, None, 0.8)


class TestAtOnce:
    def test_numbered_by_appearance_and_never_changed(self) -> None:
        labels = Labels(STEP_S, CONFIDENCE)
        labels.add_turns([_voiced(7, 0, 2), _voiced(3, 2, 4)])

        assert _turns(labels.flush(9.0)) == [
            (0.0, 1.0, "speaker_1"),
            (1.0, 2.0, "speaker_2"),
        ]
        labels.add_turns([_voiced(0, 4, 6), _voiced(7, 6, 8)])
        assert _turns(labels.flush(9.0)) == [
            (2.0, 3.0, "speaker_3"),
            (3.0, 4.0, "speaker_1"),
        ]

    def test_given_out_once(self) -> None:
        labels = Labels(STEP_S, CONFIDENCE)
        labels.add_turns([_voiced(0, 0, 2)])
        labels.add_words([(_word("a"), 0)])

        first, second = labels.flush(1.0), labels.flush(2.0)

        assert (len(first.turns), len(first.words)) == (1, 1)
        assert (second.turns, second.words, second.duration_s) == ((), (), 2.0)
        assert second.speakers == first.speakers == (Speaker("speaker_1", None, 1.0),)
        assert second.speaker_count == SpeakerCount(1, CONFIDENCE)

    def test_words_have_the_label_of_their_voice(self) -> None:
        labels = Labels(STEP_S, CONFIDENCE)
        labels.add_turns([_voiced(4, 0, 2), _voiced(2, 1, 3)])
        labels.add_words([(_word("a"), 2), (_word("b"), None), (_word("c"), 4)])

        words = labels.flush(2.0).words

        assert [(word.text, word.speaker) for word in words] == [
            ("a", "speaker_2"),
            ("b", None),
            ("c", "speaker_1"),
        ]

    def test_speaker_of_a_word_is_one_of_the_speakers(self) -> None:
        labels = Labels(STEP_S, CONFIDENCE)
        labels.add_words([(_word("a"), 7)])

        early = labels.flush(2.0)
        labels.add_turns([_voiced(7, 0, 4)])
        late = labels.flush(3.0)

        assert early.words[0].speaker == "speaker_1"
        assert early.speakers == (Speaker("speaker_1", None, 0.0),)
        assert late.speakers == (Speaker("speaker_1", None, 2.0),)
        assert early.speaker_count == late.speaker_count == SpeakerCount(1, CONFIDENCE)

    @pytest.mark.parametrize("often", [True, False])
    def test_numbers_do_not_depend_on_how_often_results_are_taken(self, often: bool) -> None:
        labels = Labels(STEP_S, CONFIDENCE)
        labels.add_words([(_word("a"), 5)])
        parts = [labels.flush(2.0)] if often else []
        labels.add_turns([_voiced(3, 0, 4), _voiced(5, 0, 8)])
        parts.append(labels.flush(4.0))

        assert [word.speaker for part in parts for word in part.words] == ["speaker_1"]
        assert [t.speaker for part in parts for t in part.turns] == ["speaker_2", "speaker_1"]

    def test_a_turn_ends_with_the_audio(self) -> None:
        labels = Labels(STEP_S, CONFIDENCE)
        labels.add_turns([_voiced(0, 0, 4)])

        result = labels.flush(1.75)

        assert result.turns == (Turn(0.0, 1.75, "speaker_1", 0.9),)
        assert result.speakers == (Speaker("speaker_1", None, 1.75),)

    def test_nobody(self) -> None:
        assert Labels(STEP_S, CONFIDENCE).flush(3.0) == Result(
            duration_s=3.0, speaker_count=SpeakerCount(0, CONFIDENCE)
        )


class TestWholeRecording:
    def test_the_number_of_speakers_is_as_sure_as_it_is_said_to_be(self) -> None:
        labels = Labels(STEP_S, CONFIDENCE)
        labels.add_recording([_voiced(0, 0, 2)], [], [(_word("a"), 0)])
        labels.set_count_confidence(0.7)

        result = labels.flush(1.0)

        assert (len(result.turns), len(result.words)) == (1, 1)
        assert result.speaker_count == SpeakerCount(1, 0.7)

    @pytest.mark.parametrize(
        ("turns", "expected"),
        [
            pytest.param(
                [(0, 4, 6), (1, 0, 2)], [(0, 2, "speaker_1"), (4, 6, "speaker_2")], id="sorted"
            ),
            pytest.param(
                [(1, 2, 6), (0, 0, 8)],
                [(0, 8, "speaker_1"), (2, 6, "speaker_2")],
                id="around another speaker",
            ),
            pytest.param(
                [(0, 0, 4), (1, 2, 6)],
                [(0, 4, "speaker_1"), (2, 6, "speaker_2")],
                id="different speakers overlap",
            ),
        ],
    )
    def test_turns_and_labels_are_by_start(
        self, turns: list[tuple[int, int, int]], expected: list[tuple[int, int, str]]
    ) -> None:
        labels = Labels(STEP_S, CONFIDENCE)
        labels.add_recording([_voiced(*turn) for turn in turns], [], [])

        found = _turns(labels.flush(99.0))

        assert found == [(start * STEP_S, end * STEP_S, name) for start, end, name in expected]

    def test_a_voice_without_a_turn_is_nobody(self) -> None:
        labels = Labels(STEP_S, CONFIDENCE)
        labels.add_recording([_voiced(0, 0, 2)], [], [(_word("a"), 1), (_word("b"), 0)])

        result = labels.flush(9.0)

        assert [word.speaker for word in result.words] == [None, "speaker_1"]
        assert result.speakers == (Speaker("speaker_1", None, 1.0),)


class TestExclusive:
    def test_waits_for_the_turn_that_gives_the_label(self) -> None:
        """Voice 3 has the floor first, but voice 5 ends its turn first and so gets label 1."""
        labels = Labels(STEP_S, CONFIDENCE)
        labels.add_exclusive([_voiced(3, 0, 2)])
        labels.add_turns([_voiced(5, 2, 4)])
        labels.add_exclusive([_voiced(5, 2, 4)])

        first = labels.flush(9.0)
        labels.add_turns([_voiced(3, 0, 6)])
        second = labels.flush(9.0)

        assert first.exclusive_turns == ()
        assert [(t.start_s, t.end_s, t.speaker) for t in second.exclusive_turns] == [
            (0.0, 1.0, "speaker_2"),
            (1.0, 2.0, "speaker_1"),
        ]


class TestNames:
    def test_at_once(self) -> None:
        """Of voices; a name may come after the label, and is there from then on."""
        labels = Labels(STEP_S, CONFIDENCE)
        labels.add_turns([_voiced(7, 0, 2), _voiced(3, 2, 4)])

        before = labels.flush(9.0).speakers
        labels.set_names({3: "Ada"})
        after = labels.flush(9.0).speakers

        assert [speaker.name for speaker in before] == [None, None]
        assert [(speaker.id, speaker.name) for speaker in after] == [
            ("speaker_1", None),
            ("speaker_2", "Ada"),
        ]

    def test_at_the_end(self) -> None:
        labels = Labels(STEP_S, CONFIDENCE)
        labels.add_recording([_voiced(0, 0, 2), _voiced(2, 2, 4)], [], [])
        labels.set_names({2: "Ada"})

        speakers = labels.flush(9.0).speakers

        assert [(speaker.id, speaker.name) for speaker in speakers] == [
            ("speaker_1", None),
            ("speaker_2", "Ada"),
        ]
        assert (labels.voice_of("speaker_2"), labels.voice_of("speaker_3")) == (2, None)


class TestTentative:
    def test_labels_as_they_would_be(self) -> None:
        labels = Labels(STEP_S, CONFIDENCE)
        labels.add_turns([_voiced(5, 0, 2)])
        turns, words = [_voiced(2, 5, 8), _voiced(1, 3, 8), _voiced(5, 6, 8)], [(_word("a"), 2)]

        once = labels.tentative(turns, words, 3.9)

        assert [(turn.start_s, turn.end_s, turn.speaker) for turn in once.turns] == [
            (1.5, 3.9, "speaker_2"),
            (2.5, 3.9, "speaker_3"),
            (3.0, 3.9, "speaker_1"),
        ]
        assert [word.speaker for word in once.words] == ["speaker_3"]

    def test_nothing_is_given_out(self) -> None:
        labels = Labels(STEP_S, CONFIDENCE)
        labels.tentative([_voiced(0, 0, 2)], [(_word("a"), 0)], 9.0)
        labels.add_turns([_voiced(1, 0, 2)])

        result = labels.flush(9.0)

        assert _turns(result) == [(0.0, 1.0, "speaker_1")]
        assert (result.words, len(result.speakers)) == ((), 1)
