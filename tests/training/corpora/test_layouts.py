"""Small folders as the public corpora unpack them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.corpora.corpus_formats import clean_speech, read_rows
from training.corpora.data import load_corpus
from training.corpora.held_out import HeldOut
from training.sources import sources, table


def write_audio(path: Path, seconds: float = 1.0, rate: int = 16_000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * rate)) / rate
    tone = 0.25 * np.sin(2 * np.pi * 440 * time)
    soundfile.write(path, np.stack([tone] * channels, axis=1), rate)


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    folder = tmp_path / "LibriSpeech/dev-clean/84/121123"
    for i in range(2):
        write_audio(folder / f"84-121123-000{i}.flac")
    text = "84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN LESS\n84-121123-0002 NO AUDIO\n"
    (folder / "84-121123.trans.txt").write_text(text)
    return tmp_path / "LibriSpeech"


@pytest.fixture
def ami(tmp_path: Path) -> Path:
    write_audio(tmp_path / "amicorpus/ES2002a/audio/ES2002a.Mix-Headset.wav", seconds=10.0)
    turns = [(0.5, 3.0, "MEE006"), (3.2, 2.0, "FEE005"), (4.5, 2.5, "MEE006"), (9.0, 0.5, "MEE007")]
    lines = [f"SPEAKER ES2002a 1 {s} {d} <NA> <NA> {who} <NA> <NA>" for s, d, who in turns]
    rttms = tmp_path / "rttms/train"
    rttms.mkdir(parents=True)
    (rttms / "ES2002a.rttm").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_librispeech_has_speakers_and_words(librispeech: Path) -> None:
    rows = read_rows(librispeech)

    assert [(row.id, row.speaker, row.text) for row in rows] == [
        ("84-121123-0000", "librispeech_84", "GO DO YOU HEAR"),
        ("84-121123-0001", "librispeech_84", "BUT IN LESS"),
    ]


def test_voxceleb_has_speakers_only(tmp_path: Path) -> None:
    write_audio(tmp_path / "wav/id10270/5r0dWxy17C8/00001.wav")
    write_audio(tmp_path / "wav/id10271/1gtz-CUIygI/00002.wav")

    assert [(row.id, row.speaker, row.text) for row in read_rows(tmp_path)] == [
        ("id10270-5r0dWxy17C8-00001", "id10270", ""),
        ("id10271-1gtz-CUIygI-00002", "id10271", ""),
    ]


def test_audiomnist_digits_become_words(tmp_path: Path) -> None:
    write_audio(tmp_path / "data/07/4_07_12.wav", rate=48_000)

    (row,) = read_rows(tmp_path)
    assert (row.speaker, row.text) == ("audiomnist_07", "four")


def test_ami_gives_the_meeting_and_who_is_alone(ami: Path) -> None:
    meeting, *alone_rows = read_rows(ami)

    assert (meeting.id, meeting.speaker, meeting.duration_s) == ("ES2002a", "multi", None)
    assert [(row.speaker, row.start_s) for row in alone_rows] == [
        ("ami_MEE006", 0.5),
        ("ami_FEE005", 3.5),
        ("ami_MEE006", 5.2),
    ]
    assert [row.duration_s for row in alone_rows] == pytest.approx([2.7, 1.0, 1.8])


def test_neighbouring_stretches_of_one_voice_are_joined() -> None:
    turns = [(0.0, 2.0, "a"), (2.0, 4.0, "a"), (3.0, 3.5, "a"), (4.0, 6.0, "b"), (4.0, 6.0, "c")]

    assert clean_speech(turns) == [(0.0, 4.0, "a")]


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found neither index\.tsv nor"):
        read_rows(tmp_path)


def test_corpora_of_any_rate_are_decoded_into_one_cache(librispeech: Path, tmp_path: Path) -> None:
    write_audio(tmp_path / "mnist/data/07/4_07_12.wav", seconds=0.5, rate=48_000, channels=2)
    roots = [librispeech, tmp_path / "mnist"]

    corpus = load_corpus(roots, tmp_path / "cache")
    digit = corpus.utterances[2]

    assert [u.text for u in corpus.utterances] == ["go do you hear", "but in less", "four"]
    assert digit.n_samples == pytest.approx(8000, abs=2)
    assert np.abs(corpus.pcm(digit)).max() == pytest.approx(0.25, rel=0.05)
    assert len(load_corpus(roots[:1], tmp_path / "cache").utterances) == 2


def test_texts_that_were_heard_count_where_they_are_sure(tmp_path: Path) -> None:
    write_audio(tmp_path / "train/a.flac", seconds=4.0)
    header = "utt\tfile\tstart_s\tdur_s\tspeaker\ttext\tsource\n"
    cut = ["u1\ta.flac\t0\t1\tx\t\ts", "u2\ta.flac\t1\t1\tx\t\ts", "u3\ta.flac\t2\t1\tx\tRead\ts"]
    (tmp_path / "train/index.tsv").write_text(header + "\n".join(cut) + "\n")
    heard = (
        'utt\ttext\tmean_logprob\nu1\t"Quoted" text\t-0.499\nu2\tUnsure\t-0.5\nu3\tMisheard\t-0.1\n'
    )
    (tmp_path / "train/pseudo.tsv").write_text(heard)

    assert [row.text for row in read_rows(tmp_path / "train")] == ['"Quoted" text', "", "Read"]


def test_ids_are_unique_and_a_changed_listing_is_read_again(tmp_path: Path) -> None:
    write_audio(tmp_path / "train/a.flac", seconds=3.0)
    listing = tmp_path / "train/index.tsv"
    header = "utt\tfile\tstart_s\tdur_s\tspeaker\ttext\tsource\n"
    rows = [f"take\ta.flac\t{i}\t1\tx\tone\ts\n" for i in range(3)]
    listing.write_text(header + "".join(rows))

    before = load_corpus([tmp_path / "train"], tmp_path / "cache")
    assert [u.id for u in before.utterances] == ["take", "take#2", "take#3"]

    listing.write_text(header + "".join(rows).replace("one", "two"))
    after = load_corpus([tmp_path / "train"], tmp_path / "cache")
    assert [u.text for u in after.utterances] == ["two"] * 3
    assert np.array_equal(before.samples, after.samples)


def test_sources_are_summed_by_licence(tmp_path: Path) -> None:
    write_audio(tmp_path / "train/a.flac", seconds=8.0)
    header = "utt\tfile\tstart_s\tdur_s\tspeaker\ttext\tsource\tlicence\n"
    cut = [
        "u1\ta.flac\t0\t3600\tx\tRead\tlong\tCC0",
        "u2\ta.flac\t1\t1800\ty\t\tlong\tCC0",
        "u3\ta.flac\t2\t36\tmulti\tone two three four five\tmeeting\t",
        "u4\ta.flac\t3\t36\tz\tmarhaba\tarabic_commands\tMIT",
    ]
    (tmp_path / "train/index.tsv").write_text(header + "\n".join(cut) + "\n")

    found = sources(read_rows(tmp_path / "train"), HeldOut(["one two three four five"]))

    assert table(found).splitlines()[2:] == [
        "| long | 1.50 | 1.00 | 2 | 2 | CC0 |",
        "| meeting | 0.01 | 0.00 | 1 | 0 | not stated |",
        "| arabic_commands | 0.01 | 0.00 | 1 | 1 | MIT |",
        "| all | 1.52 | 1.00 | 4 | 3 |  |",
    ]


def test_lengths_of_whole_files_are_looked_up(librispeech: Path) -> None:
    (((_, licence), heard),) = sources(read_rows(librispeech), HeldOut([])).items()
    assert (licence, heard.seconds, heard.with_text) == ("CC-BY-4.0", 2.0, 2.0)
