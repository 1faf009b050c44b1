from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_edge.attribution.turns import ExclusiveTurnBuilder, TurnBuilder, VoiceTurn
from echo_edge.attribution.words import WordRules, WordVoices
from echo_edge.heads.diarization import Activity, TurnRules
from echo_edge.result import Word
from tests.conftest import DECODING

RULES = TurnRules(onset=0.5, min_off_steps=2, min_on_steps=3)


def _activity(*rows: str, first_step: int = 0) -> Activity:
    """One row per voice, one character per step: its score in tenths, `.` is 0 and `X` is 1."""
    digits = {".": 0.0, "X": 1.0} | {str(n): n / 10 for n in range(10)}
    scores = [[digits[character] for character in row] for row in rows]
    return Activity(first_step, np.array(scores, np.float32).T)


def _spans(turns: list[VoiceTurn]) -> list[tuple[int, int, int]]:
    return [(turn.voice, turn.start, turn.end) for turn in turns]


class TestTurnBuilder:
    @pytest.mark.parametrize(
        ("rows", "spans"),
        [
            pytest.param([".XXX...."], [(0, 1, 4)], id="one"),
            pytest.param(["XXX"], [(0, 0, 3)], id="from start to end"),
            pytest.param([".XX......"], [], id="too short"),
            pytest.param([".X.X....."], [(0, 1, 4)], id="short ones within a gap are long enough"),
            pytest.param(["XXX..XXX"], [(0, 0, 8)], id="a pause as long as the gap"),
            pytest.param(["XXX...XXX"], [(0, 0, 3), (0, 6, 9)], id="a longer pause"),
            pytest.param(["555444555444"], [(0, 0, 3), (0, 6, 9)], id="active from 0.5 on"),
            pytest.param([".XXX.....", "..XXXX..."], [(0, 1, 4), (1, 2, 6)], id="overlap"),
            pytest.param(["..XXXX...", ".XXX....."], [(1, 1, 4), (0, 2, 6)], id="by end time"),
            pytest.param(["......", "......"], [], id="silence"),
            pytest.param([""], [], id="no steps"),
        ],
    )
    def test_turns(self, rows: list[str], spans: list[tuple[int, int, int]]) -> None:
        builder = TurnBuilder(RULES)

        assert _spans(builder.push(_activity(*rows)) + builder.finish()) == spans

    def test_a_turn_is_given_out_as_soon_as_its_gap_is_over(self) -> None:
        builder = TurnBuilder(RULES)

        assert builder.push(_activity("XXX..")) == []
        assert _spans(builder.push(_activity(".", first_step=5))) == [(0, 0, 3)]
        assert builder.finish() == []

    def test_confidence_is_the_mean_over_its_active_steps(self) -> None:
        builder = TurnBuilder(RULES)
        builder.push(_activity("685.7"))

        (turn,) = builder.finish()

        assert turn.confidence == pytest.approx((0.6 + 0.8 + 0.5 + 0.7) / 4)

    def test_numbers_continue_from_the_first_step(self) -> None:
        builder = TurnBuilder(RULES)
        builder.push(_activity("..XX", first_step=100))
        builder.push(_activity("XX..", first_step=104))

        assert _spans(builder.finish()) == [(0, 102, 106)]

    @given(row=st.text("X.", max_size=40), cuts=st.lists(st.integers(0, 40)))
    def test_any_cutting_gives_the_same_turns(self, row: str, cuts: list[int]) -> None:
        whole, pieces = TurnBuilder(RULES), TurnBuilder(RULES)
        bounds = sorted({0, len(row), *(cut for cut in cuts if cut < len(row))})

        found = [
            turn
            for start, end in pairwise(bounds)
            for turn in pieces.push(_activity(row[start:end], first_step=start))
        ] + pieces.finish()

        assert found == whole.push(_activity(row)) + whole.finish()
        assert all(turn.end - turn.start >= RULES.min_on_steps for turn in found)
        gaps = [after.start - before.end for before, after in pairwise(found)]
        assert all(gap > RULES.min_off_steps for gap in gaps)

    @given(row=st.text("X.", max_size=40), cut=st.integers(0, 40))
    def test_peeking_tells_the_end_and_changes_nothing(self, row: str, cut: int) -> None:
        builder, whole = TurnBuilder(RULES), TurnBuilder(RULES)
        done = builder.push(_activity(row[:cut]))
        rest = _activity(row[cut:], first_step=len(row[:cut]))

        ahead = builder.peek(rest)

        assert ahead == builder.peek(rest)
        assert done + ahead == whole.push(_activity(row)) + whole.finish()
        assert done + builder.push(rest) + builder.finish() == done + ahead


STEP_S = 0.04
WORDS = WordRules.from_manifest(DECODING, STEP_S)


def _word(start: int, end: int, text: str = "a") -> Word:
    """A word over these steps, end exclusive."""
    return Word(start * STEP_S, end * STEP_S, text, None, 0.9)


def _voice(word: Word, *rows: str) -> int | None:
    voices = WordVoices(WORDS)
    voices.add([word])
    voices.decide(_activity(*rows))
    ((found, voice),) = voices.take(everything=True)
    assert found == word
    return voice


class TestExclusiveTurnBuilder:
    @pytest.mark.parametrize(
        ("rows", "spans"),
        [
            pytest.param([".XXX...."], [(0, 1, 4)], id="one"),
            pytest.param([".XX......"], [], id="too short"),
            pytest.param(["XXX..XXX"], [(0, 0, 8)], id="a pause as long as the gap"),
            pytest.param(["XXX...XXX"], [(0, 0, 3), (0, 6, 9)], id="a longer pause"),
            pytest.param(["99999999", "..8888.."], [(0, 0, 8)], id="a fainter voice"),
            pytest.param(
                ["88888888", "..9999.."], [(1, 2, 6)], id="a clearer one leaves too little"
            ),
            pytest.param(
                ["8888888888", "...9999..."],
                [(0, 0, 3), (1, 3, 7), (0, 7, 10)],
                id="a clearer one between",
            ),
            pytest.param(["888888888", "..99....."], [(0, 0, 9)], id="for too short a time"),
            pytest.param(
                ["XXXX......", "....XXXXXX"], [(0, 0, 4), (1, 4, 10)], id="one after the other"
            ),
            pytest.param(["XXXX.....", ".....XX.."], [(0, 0, 4)], id="a short one at the end"),
            pytest.param(
                ["888.8.8888", "...9.9...."], [(0, 0, 10)], id="nobody takes the floor in between"
            ),
            pytest.param(["4444"], [], id="nobody active"),
            pytest.param([""], [], id="no steps"),
        ],
    )
    def test_turns(self, rows: list[str], spans: list[tuple[int, int, int]]) -> None:
        builder = ExclusiveTurnBuilder(RULES)

        assert _spans(builder.push(_activity(*rows)) + builder.finish()) == spans

    @given(
        st.lists(st.tuples(*[st.sampled_from([0.0, 0.3, 0.6, 0.8, 1.0])] * 3), max_size=80),
        st.lists(st.integers(0, 80), max_size=5),
    )
    def test_what_always_holds(
        self, scores: list[tuple[float, float, float]], cuts: list[int]
    ) -> None:
        """In order, without overlap, each within one of the voice's turns; cuts do not matter."""
        table = np.array(scores, np.float32).reshape(-1, 3)
        builder, plain = ExclusiveTurnBuilder(RULES), TurnBuilder(RULES)
        turns: list[VoiceTurn] = []
        bounds = [0, *sorted(cut % (len(table) + 1) for cut in cuts), len(table)]
        for start, end in pairwise(bounds):
            turns += builder.push(Activity(start, table[start:end]))
        turns += builder.finish()
        whole = plain.push(Activity(0, table)) + plain.finish()

        for before, after in pairwise(turns):
            assert before.end <= after.start
        for turn in turns:
            assert turn.end - turn.start >= RULES.min_on_steps
            assert any(
                other.voice == turn.voice and other.start <= turn.start and turn.end <= other.end
                for other in whole
            )

    @given(st.lists(st.sampled_from([0.0, 0.3, 0.6, 1.0]), max_size=60))
    def test_of_one_voice_they_are_all_turns(self, scores: list[float]) -> None:
        activity = Activity(0, np.array(scores, np.float32)[:, None])
        exclusive, plain = ExclusiveTurnBuilder(RULES), TurnBuilder(RULES)

        found = exclusive.push(activity) + exclusive.finish()

        assert found == plain.push(activity) + plain.finish()


class TestWordVoices:
    @pytest.mark.parametrize(
        ("word", "rows", "voice"),
        [
            pytest.param(_word(2, 4), ["..XX..", "......"], 0, id="under its turn"),
            pytest.param(_word(2, 4), ["XX..XX", "..XX.."], 1, id="under the other's"),
            pytest.param(_word(1, 5), [".XX...", "..XXX."], 1, id="who is heard longer"),
            pytest.param(_word(1, 4), [".999..", ".666.."], 0, id="who is heard surer"),
            pytest.param(_word(1, 3), [".11..."], None, id="below the threshold"),
            pytest.param(_word(16, 18), ["XXXXXX" + "." * 30], 0, id="0.4 s after a turn"),
            pytest.param(_word(16, 18), ["." * 26 + "XXXXXX"], 0, id="0.4 s before a turn"),
            pytest.param(_word(20, 22), ["XXXXXX" + "." * 30], None, id="0.6 s after a turn"),
            pytest.param(_word(6, 8), ["." * 26 + "XXXXXX"], None, id="0.7 s before a turn"),
            pytest.param(_word(2, 4), ["......"], None, id="nobody speaks"),
            pytest.param(_word(40, 42), ["XXXXXX"], None, id="beyond what is decided"),
        ],
    )
    def test_voice(self, word: Word, rows: list[str], voice: int | None) -> None:
        assert _voice(word, *rows) == voice

    def test_without_any_activity(self) -> None:
        voices = WordVoices(WORDS)
        voices.add([_word(0, 3)])

        assert voices.take() == []
        assert voices.take(everything=True) == [(_word(0, 3), None)]
        assert voices.take(everything=True) == []

    def test_a_word_of_one_frame_has_the_voice_around_it(self) -> None:
        assert _voice(Word(0.0, 0.02, "a", None, 0.9), "XXXXXX") == 0

    def test_waits_until_half_a_second_after_it_is_decided(self) -> None:
        voices = WordVoices(WORDS)
        voices.add([_word(0, 3, "a"), _word(4, 6, "b")])

        voices.decide(_activity("X" * 14))
        assert voices.take() == []
        voices.decide(_activity("X", first_step=14))
        assert voices.take() == [(_word(0, 3, "a"), 0)]
        voices.decide(_activity("X", first_step=15))
        voices.decide(_activity("X.", first_step=16))
        assert voices.take() == [(_word(4, 6, "b"), 0)]

    def test_forgets_what_no_word_can_need(self) -> None:
        voices = WordVoices(WORDS)
        for first_step in range(0, 5000, 100):
            row = "X" * 100 if first_step == 4000 else "." * 100
            voices.decide(_activity(row, first_step=first_step))
        voices.add([_word(4010, 4020), _word(3500, 3510), _word(10, 20)])

        assert [voice for _, voice in voices.take()] == [0, None, None]

    def test_peeking_at_those_that_wait_and_those_to_come(self) -> None:
        words = WordVoices(WORDS)
        words.decide(_activity("XXXX....", "........"))
        words.add([_word(1, 3, "sure")])
        undecided = _activity("....", "XXXX", first_step=8)

        first, second = words.peek([_word(9, 11, "coming")], undecided)

        assert (first[0].text, first[1], second[0].text, second[1]) == ("sure", 0, "coming", 1)
        assert words.take(everything=True) == [first]
