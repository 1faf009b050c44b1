"""The data pipeline on a small corpus made here: exact labels, same seed same batch, no leaks."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from training.corpora.alignment import Alignment
from training.corpora.data import Corpus, check_split, load_corpus, normalize_text
from training.scoring.diarization import simulated_meetings
from training.simulation.augment import active_steps, change_speed, microphone
from training.simulation.batches import Batches, BatchSpec, difficulty
from training.simulation.meetings import load_meetings, window
from training.simulation.mixtures import STEP_SAMPLES, conversation
from training.simulation.read_speech import mark_phones

RATE = 16_000


def write_split(root: Path, speakers: list[str], seed: int) -> Path:
    """Four utterances of 2 s per speaker: half a second of silence around a buzz of their own."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True)
    rows = ["utt\tfile\tstart_s\tdur_s\tspeaker\tlang\ttext\tsource"]
    for number, speaker in enumerate(speakers):
        pieces = []
        for i in range(4):
            time = np.arange(2 * RATE) / RATE
            tone = np.sign(np.sin(2 * np.pi * (90 + 17 * number) * time)) * 0.2
            tone *= (time > 0.5) & (time < 1.5)
            pieces.append(tone + rng.normal(0, 1e-4, len(tone)))
            rows.append(
                f"{speaker}_{i}\t{speaker}.flac\t{2 * i}.0\t2.0\t{speaker}\ten\tHello, World!\ttts"
            )
        soundfile.write(root / f"{speaker}.flac", np.concatenate(pieces), RATE)
    (root / "index.tsv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    root = tmp_path_factory.mktemp("data")
    names = [f"s{i}" for i in range(5)]
    return load_corpus([write_split(root / "train", names, 0)], root / "cache")


def test_utterances_are_cut_where_the_index_says(corpus: Corpus) -> None:
    utterance = corpus.utterances[6]
    pcm = corpus.pcm(utterance)

    assert (utterance.speaker, utterance.text, len(pcm)) == ("s1", "hello world", 2 * RATE)
    assert np.abs(pcm[: RATE // 4]).max() < 0.01
    assert np.abs(pcm[RATE : RATE + 100]).max() > 0.15


def test_a_wrong_folder_leaves_the_cache_alone(tmp_path: Path) -> None:
    load_corpus([write_split(tmp_path / "a", ["x"], 0)], tmp_path / "cache")
    before = (tmp_path / "cache.pcm").stat().st_size

    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_corpus([tmp_path / "nowhere"], tmp_path / "cache")

    assert (tmp_path / "cache.pcm").stat().st_size == before
    assert load_corpus([tmp_path / "a"], tmp_path / "cache").utterances


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LOOK AT THIS BIG JEEP", "look at this big jeep"),
        ("don't \"stop\"; it's -- fine.", "don't stop it's fine"),
        ("<UNSURE>Hello</UNSURE> um", "hello um"),
        ("in 1984", ""),
        ("", ""),
    ],
)
def test_normalize_text(text: str, expected: str) -> None:
    assert normalize_text(text) == expected


def test_a_speaker_in_both_splits_is_refused(tmp_path: Path) -> None:
    train = load_corpus([write_split(tmp_path / "a", ["x", "y"], 0)], tmp_path / "a_cache")
    other = load_corpus([write_split(tmp_path / "b", ["z"], 0)], tmp_path / "b_cache")
    leaky = load_corpus([write_split(tmp_path / "c", ["y", "z"], 0)], tmp_path / "c_cache")

    check_split(train, other)
    with pytest.raises(ValueError, match="speaker in both splits: y"):
        check_split(train, leaky)


def test_active_steps_close_short_gaps_only() -> None:
    pcm = np.zeros(40 * STEP_SAMPLES, np.float32)
    pcm[10 * STEP_SAMPLES : 14 * STEP_SAMPLES] = 0.3
    pcm[18 * STEP_SAMPLES : 20 * STEP_SAMPLES] = 0.3
    pcm[32 * STEP_SAMPLES : 34 * STEP_SAMPLES] = 0.3

    assert np.flatnonzero(active_steps(pcm)).tolist() == [*range(10, 20), 32, 33]
    assert not active_steps(np.zeros(6400, np.float32)).any()


@pytest.mark.parametrize("noise_db", [-60.0, -31.0])
def test_active_steps_leave_out_the_noise_of_a_recording(noise_db: float) -> None:
    rng = np.random.default_rng(0)
    pcm = rng.normal(0.0, 0.1 * 10 ** (noise_db / 20), 60 * STEP_SAMPLES).astype(np.float32)
    pcm[10 * STEP_SAMPLES : 40 * STEP_SAMPLES] += rng.normal(0.0, 0.1, 30 * STEP_SAMPLES)
    between = np.concatenate([pcm, np.zeros(20 * STEP_SAMPLES, np.float32), pcm])

    assert np.flatnonzero(active_steps(pcm)).tolist() == [*range(10, 40)]
    assert np.flatnonzero(active_steps(between)).tolist() == [*range(10, 40), *range(90, 120)]


def test_speed_changes_length() -> None:
    pcm = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)

    assert len(change_speed(pcm, 1.1)) == pytest.approx(RATE / 1.1, abs=2)
    assert change_speed(pcm, 1.0) is pcm


def test_one_microphone_hears_all_rows_alike() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((3, RATE)).astype(np.float32)
    rows[0] = rows[1] + rows[2]

    heard = microphone(rows, np.random.default_rng(1))
    other = microphone(rows, np.random.default_rng(2))

    assert heard.dtype == np.float32
    np.testing.assert_allclose(heard[0], heard[1] + heard[2], atol=1e-5)
    assert np.mean(heard[0] ** 2) == pytest.approx(np.mean(rows[0] ** 2), rel=1e-3)
    spectra = [np.abs(np.fft.rfft(row[0]))[1:].reshape(-1, 8).mean(1) for row in (heard, other)]
    ratio_db = 20 * np.log10(spectra[0][8:-8] / spectra[1][8:-8])
    assert ratio_db.std() > 3.0
    assert not microphone(np.zeros((1, RATE), np.float32), rng).any()


@pytest.mark.parametrize("n_speakers", [1, 2, 3])
def test_conversations_are_labelled_exactly(corpus: Corpus, n_speakers: int) -> None:
    rng = np.random.default_rng((1, n_speakers))
    mix = conversation(corpus, corpus.by_speaker(), None, 10.0, n_speakers, rng)
    power = (mix.sources.reshape(3, -1, STEP_SAMPLES) ** 2).mean(2)

    assert len(set(mix.speakers)) == n_speakers
    assert not mix.active[n_speakers:].any()
    assert not mix.sources[n_speakers:].any()
    for active, row in zip(mix.active[:n_speakers], power, strict=False):
        if active.any():
            assert row[active].mean() > 100 * row[~active].mean()
    assert np.abs(mix.pcm).max() <= 1.0


def test_batches_are_a_function_of_the_step(corpus: Corpus) -> None:
    spec = BatchSpec(read_items=2, conversations=1)
    first, again = (Batches(corpus, None, spec, 4, aligned(corpus)) for _ in range(2))
    batch, same, other = first[900], again[900], first[901]

    torch.testing.assert_close(same.pcm, batch.pcm)
    torch.testing.assert_close(same.mixture, batch.mixture)
    assert other.pcm.shape != batch.pcm.shape or not torch.equal(other.pcm, batch.pcm)
    assert batch.active.shape[1] * STEP_SAMPLES == batch.pcm.shape[1]
    assert int(batch.target_lengths.sum()) == len(batch.targets)
    assert batch.mixture_voices.max() < first.n_voices


@pytest.fixture
def meeting_data(tmp_path: Path) -> Path:
    """Excerpt m: 12 s of noise in which a talks from 1 to 5 s, b from 4 to 6 s, c and d at 11 s."""
    noise = np.random.default_rng(0).normal(0.0, 0.01, 12 * RATE)
    soundfile.write(tmp_path / "m.flac", noise, RATE)
    (tmp_path / "index.tsv").write_text(
        "utt\tfile\tstart_s\tdur_s\tspeaker\ttext\tsource\nm\tm.flac\t0.0\t12.0\tmulti\t\tmeeting\n"
    )
    turns = [("a", 1.0, 4.0), ("b", 4.0, 2.0), ("c", 11.0, 0.4), ("d", 11.0, 0.8)]
    (tmp_path / "rttm").mkdir()
    (tmp_path / "rttm" / "m.rttm").write_text(
        "".join(f"SPEAKER m 1 {t} {n} <NA> <NA> {who} <NA> <NA>\n" for who, t, n in turns)
    )
    return tmp_path


def test_meetings_are_labelled_at_every_speed(meeting_data: Path, tmp_path: Path) -> None:
    corpus = load_corpus([meeting_data], tmp_path / "cache")
    meetings = load_meetings(corpus, meeting_data / "rttm")

    assert [meeting.speed for meeting in meetings] == [0, 1, 2]
    for meeting, factor in zip(meetings, (0.9, 1.0, 1.1), strict=True):
        spoken = np.flatnonzero(meeting.active[0]) * STEP_SAMPLES / RATE
        assert meeting.speakers == ("a", "b", "c", "d")
        assert meeting.active.shape[1] * STEP_SAMPLES == len(meeting.pcm)
        assert len(meeting.pcm) / RATE == pytest.approx(12 / factor, abs=0.04)
        assert (spoken[0], spoken[-1] + 0.04) == pytest.approx((1 / factor, 5 / factor), abs=0.05)
    whole = window(meetings[1], 12.0, np.random.default_rng(0))
    assert whole.speakers == ("a", "b", "d")
    assert whole.active.any(1).all()
    assert whole.sources.shape == (0, 12 * RATE)
    late = window(meetings[1], 0.8, np.random.default_rng(3))
    assert len(late.pcm) == 20 * STEP_SAMPLES
    assert late.active.sum(1).all() == (len(late.speakers) == 3)


def test_real_conversations_come_last_and_have_no_sources(
    corpus: Corpus, meeting_data: Path, tmp_path: Path
) -> None:
    meetings = load_meetings(load_corpus([meeting_data], tmp_path / "cache"), meeting_data / "rttm")
    spec = BatchSpec(read_items=1, conversations=2)
    batches = Batches(corpus, None, spec, 4, aligned(corpus), meetings=meetings)
    met = [batches.classes[name] for name in "abcd"]

    assert batches.n_voices == 3 * (5 + 4)
    seen = {len(batch.sources): batch for batch in (batches[step] for step in range(900, 912))}
    assert set(seen) == {1, 2}
    assert seen[1].mixture.shape == seen[2].mixture.shape
    real = seen[1].mixture_voices[1]
    assert {int(voice) // 3 for voice in real if voice >= 0} <= set(met)
    alone = Batches(
        corpus, None, BatchSpec(1, conversations=1), 4, aligned(corpus), meetings=meetings
    )
    assert all(len(alone[step].sources) == 1 for step in range(900, 906))


def test_half_of_the_conversations_take_the_timing_of_real_ones(corpus: Corpus) -> None:
    meeting = [(0.0, 60.0, name) for name in "abcd"]  # all talk all the time
    spec = BatchSpec(read_items=1, conversations=6, conversation_s=4.0)
    batch = Batches(corpus, None, spec, 4, aligned(corpus), timing=[meeting])[900]
    voices = (batch.mixture_voices >= 0).sum(1)
    overlapped = (batch.mixture_active.sum(1) > 1).float().mean(1)

    assert 1 <= (overlapped > 0.3).sum() <= 5
    assert (voices[overlapped > 0.3] == 3).all()


def aligned(corpus: Corpus) -> Alignment:
    """Phone 1 from 0.5 s to 1.5 s of every utterance but the first, silence around it."""
    labels = np.zeros(200, np.uint8)
    labels[50:150] = 1
    lexicon = {word: ["h", "aɪ"] for u in corpus.utterances for word in u.text.split()}
    return Alignment(("sil", "a"), {u.id: (0, 200) for u in corpus.utterances[1:]}, labels, lexicon)


def test_phones_follow_speed_and_position(corpus: Corpus) -> None:
    labels = aligned(corpus).select(corpus.utterances[1])
    phones = np.zeros(200, np.int64)

    mark_phones(phones, labels, start=RATE, speed=0.8, n_samples=int(2 * RATE / 0.8))

    spoken = np.flatnonzero(phones)
    assert spoken[0] * 320 / RATE == pytest.approx(1.0 + 0.5 / 0.8, abs=0.03)
    assert spoken[-1] * 320 / RATE == pytest.approx(1.0 + 1.5 / 0.8, abs=0.03)
    mark_phones(phones, None, start=0, speed=1.0, n_samples=RATE)
    assert (phones[:50] == -100).all()
    assert (phones[50:60] == 0).all()


def test_phones_of_a_batch_lie_under_the_sound(corpus: Corpus) -> None:
    spec = BatchSpec(read_items=3, conversations=1)
    batch = Batches(corpus, None, spec, 4, aligned(corpus), roughness=0.0)[900]
    active = batch.active.repeat_interleave(2, dim=1).bool()
    known = batch.phones >= 0

    assert known.float().mean() > 0.5
    assert ((batch.phones == 1) == active)[known].float().mean() > 0.9


def test_difficulty_ramps_from_easy_to_full() -> None:
    ramp = [difficulty(step) for step in range(0, 3000, 100)]

    assert (ramp[0], ramp[-1]) == (0.0, 1.0)
    assert ramp == sorted(ramp)


def test_meetings_keep_the_timing_of_real_ones(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.scoring.diarization.ENOUGH", 4)
    timing = tmp_path / "timing.rttm"
    rows = [("m", 0.0, 7.0, "A"), ("m", 2.0, 6.0, "B"), ("n", 0.0, 6.0, "C"), ("n", 1.0, 9.0, "D")]
    timing.write_text(
        "".join(f"SPEAKER {m} 1 {s} {d} <NA> <NA> {k} <NA> <NA>\n" for m, s, d, k in rows)
    )

    made = list(simulated_meetings(corpus, timing, tmp_path, seconds=8.0, seed=1))
    again = simulated_meetings(corpus, timing, tmp_path, seconds=8.0, seed=1)

    assert len(made) == 2
    for mixture, same in zip(made, again, strict=True):
        np.testing.assert_array_equal(mixture.pcm, same.pcm)
        assert len(mixture.pcm) == 8 * RATE
        assert len(set(mixture.speakers)) == 2
        together = mixture.active[0] & mixture.active[1]
        assert RATE // 2 < together.sum() * STEP_SAMPLES <= 5 * RATE
