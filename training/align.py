"""Forced alignment of the transcribed training speech, by a monophone GMM-HMM.

Trained from a flat start on the training data itself, with pronunciations from espeak-ng. The
encoder learns the phones frame by frame beside CTC: dense targets where CTC alone stays on its
blank plateau.

    python -m training.align --data DATA --cache runs/cache
"""

import argparse
from pathlib import Path

import numpy as np

from training.corpora.alignment import SILENCE, cepstra, pronounce
from training.corpora.data import load_splits
from training.corpora.hmm import STATES, phones_of, state_chain, train


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="further training corpora")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    args = parser.parse_args()
    corpus, _ = load_splits(args.data, args.cache, args.more)
    utterances = [u for u in corpus.utterances if u.text and u.duration_s < 20]
    lexicon = pronounce(sorted({word for u in utterances for word in u.text.split()}))
    phones = (SILENCE, *sorted({p for said in lexicon.values() for p in said}))
    index = {phone: i for i, phone in enumerate(phones)}
    print(len(utterances), "utterances,", len(lexicon), "words,", len(phones), "phones", flush=True)
    data = cepstra(corpus, utterances)
    chains = [state_chain(u.text.split(), lexicon, index) for u in utterances]
    paths = train(data, chains, 1 + (len(phones) - 1) * STATES)
    labels = [phones_of(path) for path in paths]
    counts = np.array([len(row) for row in labels])
    spans = np.stack([np.cumsum(counts) - counts, counts], axis=1)[counts > 0]
    ids = [u.id for u, count in zip(utterances, counts, strict=True) if count]
    np.savez(
        args.cache / "phones.npz",
        phones=np.array(phones),
        ids=np.array(ids),
        spans=spans,
        labels=np.concatenate(labels),
        words=np.array(list(lexicon)),
        said=np.array([" ".join(said) for said in lexicon.values()]),
    )
    print(f"aligned {len(ids)} of {len(utterances)} utterances")


if __name__ == "__main__":
    main()
