"""Weight of the language model and bonus per word: WER by search.

The encoder runs once per utterance; the search replays the phones' posteriors. Utterances are the
development ones between those of `training.evaluate`: of speechocean762, since LibriSpeech's few
are all needed there. `training.priors --share` makes the checkpoint, and so the bundle, to look at.

    python -m training.tune_words --data DATA --bundle echo_edge/default_bundle
"""

import argparse
import itertools
from dataclasses import replace
from pathlib import Path

import jiwer
import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.bundle.language_model import LanguageModel
from echo_edge.heads.beam import BeamSearch
from echo_edge.session import Session, load
from training.corpora.data import Corpus, load_corpus
from training.scoring.replay import Recorder
from training.scoring.words import READERS, evaluated, heard

Array = NDArray[np.float32]
WEIGHTS, BONUSES = (0.8, 1.0, 1.1, 1.2), (0.5, 0.0, -1.0, -2.0, -3.0)
FRAME_S = 0.02


def posteriors(session: Session, corpus: Corpus) -> list[tuple[str, Array]]:
    """Text and log-posteriors `[frames, phones]` of every utterance."""
    recorder = Recorder(session.engines["asr"], "phones")
    recording = Session(session.bundle, session.threads, {**session.engines, "asr": recorder})
    found = []
    for source in READERS.values():
        for utterance in evaluated(corpus, source, between=True):
            recorder.kept.clear()
            heard(recording, corpus.pcm(utterance), language_model=True)
            phones = [outputs["phones"][0] for outputs in recorder.kept]
            found.append((utterance.text, np.concatenate(phones)))
    return found


def words(logprobs: Array, language: LanguageModel, decoding: DecodingSpec) -> str:
    """The words of one utterance."""
    search = BeamSearch(language, decoding, FRAME_S)
    found = [word for frame in logprobs for word in search.push(frame)]
    return " ".join(word.text for word in (*found, *search.finish()))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--bundle", type=Path, required=True)
    args = parser.parse_args()
    corpus = load_corpus([args.data / "dev"], args.cache / "dev")
    with load(args.bundle) as session:
        language, decoding = session.bundle.language, session.bundle.manifest.decoding
        if language is None:
            raise SystemExit(f"{args.bundle}: has no language model to tune")
        read = posteriors(session, corpus)
    for weight, bonus in itertools.product(WEIGHTS, BONUSES):
        tried = replace(decoding, language_weight=weight, word_bonus=bonus)
        texts = [words(logprobs, language, tried) for _, logprobs in read]
        rate = 100.0 * jiwer.wer([text for text, _ in read], texts)
        print(f"WER {rate:5.1f}  weight {weight:g}, word bonus {bonus:g}", flush=True)


if __name__ == "__main__":
    main()
