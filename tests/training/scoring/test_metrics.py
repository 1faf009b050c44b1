"""The figures themselves: known answers for made-up results."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from echo_edge.bundle.language_model import BLANK, START, LanguageModel
from echo_edge.result import Result, Turn
from echo_edge.session import load
from echo_edge_export.checkpoint import save_checkpoint
from echo_edge_export.model.config import PHONES
from echo_edge_export.model.echo import Echo
from tests.spectra import above_100_hz
from tests.training.simulation.test_pipeline import write_split
from tests.training.test_joint import SMALL
from training import metrics
from training.corpora.bigrams import count, estimate, perplexity, read_books, sentences
from training.corpora.data import load_corpus
from training.curves import draw, smooth
from training.scoring import quick
from training.scoring.diarization import Der, turns_of
from training.scoring.separation import apart, latent_figures
from training.scoring.voices import in_one_room, nearest_right, stretches
from training.scoring.words import by_speaker, dialogue, word_list
from training.simulation.mixtures import STEP_SAMPLES, Mixture
from training.stages.loop import Log

CONVERSATION = Path(__file__).parents[3] / "demo" / "conversation.flac"


def result(*turns: tuple[float, float, str]) -> Result:
    return Result(tuple(Turn(*turn, 1.0) for turn in turns), (), 10.0)


def test_der_of_the_truth_is_zero_and_of_silence_is_all_missed() -> None:
    truth = [(0.0, 4.0, "a"), (5.0, 9.0, "b")]
    right, silent = Der(), Der()
    right.add(truth, result((0.0, 4.0, "x"), (5.0, 9.0, "y")))
    silent.add(truth, result())

    assert right.figures("d")["d.der"] == 0.0
    assert right.figures("d")["d.count_right"] == 100.0
    assert silent.figures("d")["d.missed"] == pytest.approx(100.0)


def test_the_forgiving_figure_leaves_out_a_quarter_second_around_boundaries() -> None:
    score = Der()
    score.add([(1.0, 5.0, "a")], result((0.8, 5.2, "x")))
    figures = score.figures("d")

    assert figures["d.der"] == pytest.approx(10.0)
    assert figures["d.der_collar_250ms"] == pytest.approx(0.0)


def test_turns_of_active_steps() -> None:
    active = np.zeros((3, 10), bool)
    active[1, 2:5] = True

    assert turns_of(active) == [(pytest.approx(0.08), pytest.approx(0.2), "s1")]


def test_nearest_neighbours_are_counted() -> None:
    table = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.6, 0.5]], np.float32)

    assert nearest_right(table, np.array(["a", "a", "b", "b"])) == 75.0


def test_a_word_list_knows_its_words_and_no_others() -> None:
    model = word_list({"five": ["f", "aɪ", "v"], "four": ["f", "ɔː"], "nine": ["n", "aɪ", "n"]})
    low, high = 0, model.size
    for depth, phone in enumerate(("f", "aɪ", "v")):
        low, high = model.narrow(low, high, depth, PHONES.index(phone))

    assert model.narrow(low, high, 3, BLANK) == (low, low + 1)
    assert model.spelling(low) == "five"
    assert model.score(START, low) == pytest.approx(-np.log(3), abs=1e-3)
    assert model.score(low, low) == pytest.approx(-np.log(3), abs=1e-3)


def test_a_dialogue_says_every_utterance_whole(tmp_path: Path) -> None:
    corpus = load_corpus([write_split(tmp_path / "x", ["a", "b", "c"], 0)], tmp_path / "cache")
    voices = {name: [u for u in corpus.utterances if u.speaker == name] for name in ("a", "b", "c")}
    mixture, said = dialogue(corpus, voices, 2, np.random.default_rng(0))

    texts = by_speaker(said)
    assert len(texts) == 2
    assert sum(len(text.split()) for text in texts.values()) == 2 * len(said)
    turns = [turn for turn in turns_of(mixture.active) if turn[1] - turn[0] > 0.5]
    assert len(said) == len(turns)


SAID = {"a": "ə", "and": "æ n d", "cat": "k æ t", "dog": "d ɔː ɡ", "on": "ɔː n", "the": "ð ə",
        "ran": "ɹ æ n", "sat": "s æ t"}  # fmt: skip


def test_bigrams_of_every_word_sum_to_one() -> None:
    text = "The cat sat. The cat ran; a dog sat on the cat! The dog and the cat ran."
    _, after = count(sentences(text))
    lexicon = {word: said.split() for word, said in SAID.items()}
    arrays = estimate(lexicon, after, min_count=1)
    known = [word.decode() for word in arrays["words"]]

    model = LanguageModel(**arrays)

    assert sorted(known) == sorted(SAID)
    for previous in range(-1, 8):
        total = sum(np.exp(model.score(previous, word)) for word in range(8))
        assert total == pytest.approx(1.0, abs=0.01)
    likely, _ = perplexity(model, known, [["the", "cat"]])
    unlikely, missing = perplexity(model, known, [["cat", "the", "zebra"]])
    assert likely < unlikely
    assert missing == pytest.approx(100 / 3)


def test_sentences_with_digits_are_left_out() -> None:
    assert list(sentences("In 1800 it rained. It's dry\n\nnow -- yes")) == [
        ["it's", "dry"],
        ["now", "yes"],
    ]


def test_books_of_r_are_lines(tmp_path: Path) -> None:

    def string(text: bytes) -> bytes:
        return b"\x00\x04\x00\x09" + len(text).to_bytes(4) + text

    packed = b""
    for lines in ([b"It is a truth", b"universally"], [b"acknowledged"]):
        data = b"X\n" + b"".join(map(string, lines))
        packed += len(data).to_bytes(4) + zlib.compress(data)
    (tmp_path / "Rdata.rdb").write_bytes(packed)

    assert read_books(tmp_path / "Rdata.rdb").split("\n") == [
        "It is a truth",
        "universally",
        "acknowledged",
    ]


def test_curves_are_drawn(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.csv", 1, 3)
    for step in range(3):
        log.add(step, {"ctc": 3.0 - step})
    draw([tmp_path], tmp_path / "curves.png")

    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert smooth([1.0, 1.0, 1.0]) == [1.0, 1.0, 1.0]


def test_latents_of_a_separated_voice_are_compared_with_those_of_the_clean_one(
    default_bundle: Path,
) -> None:
    rng = np.random.default_rng(0)
    sources = np.zeros((3, 24 * STEP_SAMPLES), np.float32)
    sources[0] = rng.normal(0, 0.1, sources.shape[1])
    active = np.zeros((3, 24), np.bool_)
    active[0] = True
    alone = Mixture(sources[0], sources, active, ("a",), (1,))

    with load(default_bundle) as session:
        figures = latent_figures(session, torch.from_numpy(sources), alone)
        shuffled = latent_figures(session, torch.from_numpy(sources[[2, 0, 1]]), alone)

    assert figures["separation.pit_accuracy"] == [100.0, 100.0]
    assert figures["separation.pit_accuracy_whole"] == [100.0]
    assert figures["separation.latent_si_sdr_db"][0] > 60.0
    assert shuffled == figures


def test_stretches_are_of_one_voice_alone() -> None:
    turns = [(0.0, 4.0, "a"), (3.0, 5.0, "b"), (6.0, 6.6, "b"), (8.0, 15.0, "a")]

    found = [(a * 0.04, b * 0.04, who) for a, b, who in stretches(turns)]

    assert found == [
        (0.0, pytest.approx(3.0), "a"),
        (pytest.approx(8.0), pytest.approx(11.0), "a"),
        (pytest.approx(11.0), pytest.approx(14.0), "a"),
        (pytest.approx(14.0), pytest.approx(15.0), "a"),
        (pytest.approx(4.0), pytest.approx(5.0), "b"),
    ]


def test_voices_in_one_room_are_compared_with_each_other_only(default_bundle: Path) -> None:
    clip, _ = soundfile.read(CONVERSATION, 15 * 16_000, dtype="float32")
    turns = [(0.5, 3.5, "a"), (4.1, 6.7, "b"), (7.3, 9.1, "c"), (9.9, 12.9, "b"), (13.3, 15.0, "a")]

    with load(default_bundle) as session:
        one = in_one_room(session, [(clip, turns)])
        twice = in_one_room(session, [(clip, turns), (clip, turns)])

    assert one["one_room.pairs"] * 2 == twice["one_room.pairs"]
    assert one["one_room.cosine_same"] > one["one_room.cosine_others"] + 0.1
    assert twice["one_room.eer"] == pytest.approx(one["one_room.eer"])


OVERLAP = 480


def test_who_talks_most_is_separated(default_bundle: Path) -> None:
    pcm = np.random.default_rng(0).normal(0, 1e-4, 48 * STEP_SAMPLES).astype(np.float32)
    sources = np.stack([pcm, 0 * pcm, 0 * pcm])
    mixture = Mixture(pcm, sources, np.zeros((3, 48), np.bool_), ("a",), (1,))

    with load(default_bundle) as session:
        result, audible = apart(session, mixture)

    assert audible.shape == (3, len(pcm))
    assert not audible[len(result.speakers) + 1 :].any()
    lost = audible.sum(0)[:-OVERLAP].numpy() - pcm[:-OVERLAP]
    assert above_100_hz(lost) < 0.01 * above_100_hz(pcm[:-OVERLAP])


def test_a_checkpoint_is_looked_at_in_chunks_of_several_lengths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "model.safetensors", Echo(SMALL), 0)
    index = write_split(tmp_path / "dev", ["a", "b", "c"], 0) / "index.tsv"
    index.write_text(index.read_text().replace("\ttts", "\tspeechocean762"))
    options = ["--data", tmp_path, "--cache", tmp_path / "cache", "--chunk-steps", 4, 1000]

    metrics.main([str(word) for word in (tmp_path / "model.safetensors", *options)])

    rows = [line.split("  ") for line in capsys.readouterr().out.splitlines() if "eer" in line]
    assert [row[1] for row in rows] == ["chunks of 4 steps", "chunks of 1000 steps"]
    names = ["so762_wer", "so762_cer", "eer", "eer_readers", "powerset"]
    assert all([figure.split()[0] for figure in row[2:]] == names for row in rows)


@torch.no_grad()
def test_longer_chunks_hear_more_of_what_comes() -> None:
    torch.manual_seed(0)
    model, pcm = Echo(SMALL).eval(), np.zeros(32_000, np.float32)
    other = pcm.copy()
    other[16_000:] = np.random.default_rng(0).normal(0, 0.1, 16_000)

    def change(chunk_steps: int) -> float:
        heard = [quick.streamed_latents(model, each, chunk_steps) for each in (pcm, other)]
        return float((heard[0] - heard[1])[:, :4].abs().max())

    assert change(4) == 0.0
    assert change(1000) > 1e-3
