"""The language model of the beam search: how words sound, and bigrams counted in plain text.

    python -m training.language --data DATA --text FILE [FILE ...] --out models/english.npz

Absolute discounting with Kneser-Ney continuation counts (Kneser & Ney, ICASSP 1995). The training
transcripts are read too, several times: they sound like what is transcribed. Pronunciations come
from espeak-ng.
"""

import argparse
from pathlib import Path

import numpy as np

from echo_edge.bundle.language_model import load_language_model
from training.corpora.bigrams import count, estimate, perplexity, read_books, sentences, vocabulary
from training.corpora.data import held_out_texts, load_splits


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--text", type=Path, nargs="+", default=[], help="plain text or a .rdb")
    parser.add_argument("--size", type=int, default=20_000, help="words of the vocabulary")
    parser.add_argument("--least", type=int, default=2, help="occurrences of a bigram to keep it")
    parser.add_argument("--repeat", type=int, default=5, help="times the transcripts are counted")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    train, dev = load_splits(args.data, args.cache)
    spoken = [u.text.split() for u in train.utterances if u.text] * args.repeat
    held_out = held_out_texts(args.data)
    books = (s for path in args.text for s in sentences(read_books(path)))
    written = (sentence for sentence in books if not held_out.has(" ".join(sentence)))
    words, after = count((*spoken, *written))
    arrays = estimate(vocabulary(words, args.size), after, args.least)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(args.out, allow_pickle=False, **arrays)
    model = load_language_model(args.out)
    print(
        f"{args.out}: {args.out.stat().st_size / 2**20:.2f} MiB, {model.size} words, "
        f"{len(arrays['bigram'])} bigrams"
    )
    known = [word.decode() for word in arrays["words"]]
    for source in sorted({u.source for u in dev.utterances if u.text}):
        texts = [u.text.split() for u in dev.utterances if u.source == source and u.text]
        found, missing = perplexity(model, known, texts)
        print(f"  {source}: perplexity {found:.0f}, {missing:.1f} % unknown words")


if __name__ == "__main__":
    main()
