"""Known voices in memory: names, and what may be done to people."""

import unicodedata
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from echo_edge.errors import UsageError, VoicesError
from echo_edge.voices import MAX_PEOPLE, Voice, Voiceprint, Voices, checked_name

HERE, ELSEWHERE = "a" * 64, "b" * 64


def _print(*direction: float, speech_s: float = 10.0, checkpoint: str = HERE) -> Voiceprint:
    return Voiceprint.from_vector(np.array(direction, np.float32), speech_s, checkpoint)


def _known(*names: str) -> Voices:
    voices = Voices()
    for index, name in enumerate(names):
        voices = voices.learn(name, _print(1.0, float(index)))
    return voices


def _names(voices: Voices) -> list[str]:
    return [voice.name for voice in voices.people]


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "Ada", "Jean-Luc d'Œuvre", "Ana Maria", "李雷", "محمد", "Zoë", "नरेन्द्र", "R2 D2",
            "Dr. No", "Tom & Jerry", "(guest)", "x" * 64,
        ],
    )  # fmt: skip
    def test_right(self, name: str) -> None:
        assert checked_name(name) == unicodedata.normalize("NFC", name)

    def test_two_ways_to_write_one_letter_are_one_name(self) -> None:
        assert checked_name("Zoe\u0308") == "Zo\u00eb"

    @pytest.mark.parametrize(
        "name",
        [
            "a\nb", "a\r", "\ta", "a\u2028b", "a\x00b", "a\x1b[31m", "a\u00a0b", "a\u202eb",
            "\ud800", "a/b", "a\\b", "a:b", "a;b", "a,b", "<b>", "a|b", 'a"b', "a`b",
            "", " ", "-", "...", "x" * 65, " a", "a ", "a  b",
            "speaker_1", "Speaker_22", "SPEAKER 3", "unknown", "None", "NA",
        ],
    )  # fmt: skip
    def test_wrong(self, name: str) -> None:
        with pytest.raises(UsageError, match=r"name: found .*(expected|choose)") as caught:
            checked_name(name)

        assert "\n" not in str(caught.value)
        str(caught.value).encode()

    @given(st.text(max_size=70))
    def test_a_name_is_one_line_and_stays_what_it_is(self, text: str) -> None:
        try:
            name = checked_name(text)
        except UsageError:
            return

        assert checked_name(name) == name
        assert len(name.splitlines()) == 1
        assert name.encode().decode() == name
        assert not set(name) & set('<>/\\:;,|"`\t\n')


class TestVoiceprint:
    def test_has_length_one(self) -> None:
        assert _print(3.0, 4.0).embedding == (0.6, 0.8)

    @pytest.mark.parametrize("direction", [(0.0, 0.0), (float("nan"), 1.0), (float("inf"), 1.0)])
    def test_of_no_direction(self, direction: tuple[float, float]) -> None:
        with pytest.raises(ValueError, match="direction"):
            _print(*direction)

    def test_alike(self) -> None:
        assert _print(1.0, 0.0).alike(_print(1.0, 1.0)) == pytest.approx(0.7071, abs=1e-4)

    def test_joined_by_speech(self) -> None:
        joined = _print(1.0, 0.0, speech_s=30.0).joined(_print(0.0, 1.0, speech_s=10.0))

        assert joined == _print(3.0, 1.0, speech_s=40.0)


class TestPeople:
    def test_in_order_of_the_alphabet(self) -> None:
        assert _names(_known("bert", "Zoë", "Ada")) == ["Ada", "bert", "Zoë"]

    def test_more_speech_of_a_person(self) -> None:
        voices = _known("Ada").learn("ADA", _print(0.0, 1.0))

        assert voices.people == (Voice("Ada", _print(1.0, 1.0, speech_s=20.0)),)

    @pytest.mark.parametrize("name", ["Ana Maria", "ana_maria", "ANA MARIA", "ana maria"])
    def test_names_that_an_output_would_mix_up_are_one(self, name: str) -> None:
        assert _known("Ana Maria").find(name).name == "Ana Maria"

    @pytest.mark.parametrize("verb", ["find", "forget"])
    def test_who_is_not_known(self, verb: str) -> None:
        with pytest.raises(UsageError, match="'Eve': is not known, expected one of: Ada, Bert"):
            getattr(_known("Ada", "Bert"), verb)("Eve")

    def test_nobody_is_known(self) -> None:
        with pytest.raises(UsageError, match="expected one of: nobody"):
            Voices().find("Ada")

    def test_rename(self) -> None:
        voices = _known("Ada", "Bert")

        renamed = voices.rename("ada", "Zoë")

        assert _names(renamed) == ["Bert", "Zoë"]
        assert renamed.find("Zoë").voiceprint == voices.find("Ada").voiceprint
        assert voices.rename("Ada", "ada").rename("ada", "Ada") == voices

    def test_rename_to_one_that_is_taken(self) -> None:
        with pytest.raises(UsageError, match="'BERT': 'Bert' is known already"):
            _known("Ada", "Bert").rename("Ada", "BERT")

    def test_merge(self) -> None:
        voices = _known("Ada", "Bert", "Cleo").merge("Ada", "Cleo")

        assert _names(voices) == ["Bert", "Cleo"]
        assert voices.find("Cleo").voiceprint.speech_s == 20.0

    def test_merge_with_oneself(self) -> None:
        with pytest.raises(UsageError, match="one person twice"):
            _known("Ada").merge("Ada", "ada")

    def test_forget(self) -> None:
        assert _names(_known("Ada", "Bert").forget("Ada")) == ["Bert"]
        assert _known("Ada").forget("Ada") == Voices()

    def test_another_checkpoint(self) -> None:
        with pytest.raises(VoicesError, match=f"found voices .* {HERE[:12]} .* {ELSEWHERE[:12]}"):
            _known("Ada").learn("Bert", _print(1.0, checkpoint=ELSEWHERE))
        Voices().check_checkpoint(ELSEWHERE)
        _known("Ada").check_checkpoint(HERE)

    def test_too_many(self) -> None:
        people = tuple(Voice(f"p {i:04}", _print(1.0)) for i in range(MAX_PEOPLE))

        with pytest.raises(UsageError, match="1000 people"):
            Voices(people).learn("one more", _print(1.0))
        assert len(Voices(people).learn("p 0007", _print(1.0)).people) == MAX_PEOPLE


NAMES = ["Ada", "ADA", "Bert", "Ana Maria", "ana_maria", "Zoë"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["learn", "rename", "merge", "forget"]),
        st.sampled_from(NAMES),
        st.sampled_from(NAMES),
    ),
    max_size=12,
)


@given(STEPS)
def test_whatever_is_done(steps: Sequence[tuple[str, str, str]]) -> None:
    """Nobody is there twice, no speech is lost but what is forgotten, and order does not drift."""
    voices, speech_s = Voices(), 0.0
    for verb, name, other in steps:
        before = voices
        try:
            match verb:
                case "learn":
                    voices = voices.learn(name, _print(1.0, 2.0))
                    speech_s += 10.0
                case "forget":
                    speech_s -= voices.find(name).voiceprint.speech_s
                    voices = voices.forget(name)
                case _:
                    voices = getattr(voices, verb)(name, other)
        except UsageError:
            assert voices == before

        keys = [voice.name.casefold().replace(" ", "_") for voice in voices.people]
        assert keys == sorted(set(keys))
        assert sum(v.voiceprint.speech_s for v in voices.people) == pytest.approx(speech_s)


@given(STEPS, st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_rename_there_and_back(
    steps: Sequence[tuple[str, str, str]], name: str, other: str
) -> None:
    voices = Voices()
    for _, learned, _ in steps:
        voices = voices.learn(learned, _print(0.5, 0.5))
    try:
        kept = voices.find(name).name
        renamed = voices.rename(name, other)
    except UsageError:
        assume(False)

    assert renamed.rename(other, kept) == voices
