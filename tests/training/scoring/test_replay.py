from pathlib import Path

import numpy as np
import pytest

from echo_edge.audio import read_blocks
from echo_edge.session import load
from training.scoring.replay import CachedEncoding

CONVERSATION = Path(__file__).parents[3] / "demo" / "conversation.flac"


def test_what_was_heard_once_is_decided_alike(default_bundle: Path) -> None:
    pcm = np.concatenate(list(read_blocks(CONVERSATION)))[: 20 * 16_000]

    with load(default_bundle) as session:
        encoding = CachedEncoding(session, pcm)
        for latency_s in (2.0, float("inf")):
            decided, whole = encoding.decide(latency_s), session.process(pcm, latency_s)
            assert decided.turns == whole.turns
            assert decided.turns
            assert decided.speakers == whole.speakers
            assert decided.words == ()
        nobody = encoding.decide(2.0, active_threshold=1.0)

    assert sum(turn.end_s - turn.start_s for turn in nobody.turns) < 1.0
    assert session.bundle.manifest.decoding.active_threshold != pytest.approx(1.0)
