"""`run --speakers N`, `--min-speakers` and `--max-speakers`: obeyed, or a line says that not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from echo_edge.cli.options import count_finding
from echo_edge.session import Session

Command = Callable[..., Any]
Spoken = Callable[..., np.ndarray[tuple[int], np.dtype[np.float32]]]


@pytest.fixture
def talk(tmp_path: Path, spoken: Spoken) -> Path:
    """Three people, one after the other."""
    said = [(2.0, (0,), 2), (1.2, (), 0), (2.0, (1,), 3), (1.2, (), 0), (2.0, (2,), 4)]
    soundfile.write(tmp_path / "talk.wav", spoken(said), 16000)
    return tmp_path / "talk.wav"


@pytest.mark.parametrize("option", ["--speakers", "--num-speakers"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_exactly(talking: Command, talk: Path, option: str, number: int) -> None:
    outcome = talking("run", talk, "--format", "json", option, number)

    outcome.worked()
    assert json.loads(outcome.out)["speaker_count"]["value"] == number


@pytest.mark.parametrize("latency", [(), ("--latency-s", "0.4")], ids=["at the end", "live"])
def test_what_could_not_be_is_said(talking: Command, talk: Path, latency: tuple[str, ...]) -> None:
    outcome = talking("run", talk, "--speakers", "5", *latency)

    assert outcome.code == 0
    assert outcome.err == (
        f"echo-edge: {talk}: found 3 speakers, expected 5 as asked for: "
        "voices are too similar, too short or not there\n"
    )


def test_of_many(
    talking: Command, talk: Path, fake_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echo_edge.cli.transcript.load", lambda *_: fake_session)
    out = talk.with_name("out")

    outcome = talking("run", talk, "--speakers", "5", "--out-dir", out)

    assert outcome.code == 0
    assert outcome.err.startswith(f"echo-edge: {talk}: found 3 speakers, expected 5 as asked for")
    assert len((out / "talk.txt").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param("--speakers 2 --min-speakers 2", "--speakers: found --min-", id="both"),
        pytest.param("--speakers 0", "speakers: found 0 to 0", id="nobody"),
        pytest.param("--speakers 21", "speakers: found 21 to 21", id="too many"),
        pytest.param("--speakers x", "invalid int value: 'x'", id="no number"),
    ],
)
def test_wrong_usage(command: Command, wav: Path, options: str, message: str) -> None:
    command("run", wav, *options.split()).failed(2, message)


@pytest.mark.parametrize(
    ("n_found", "minimum", "maximum", "begin"),
    [
        (0, 1, 20, ""),
        (2, 2, 2, ""),
        (0, 2, 20, "found 0 speakers, expected 2 to 20 as asked for"),
        (1, 2, 2, "found 1 speaker, expected 2 as asked for"),
        (3, 1, 2, "found 3 speakers, expected 1 to 2 as asked for"),
    ],
)
def test_count_finding(n_found: int, minimum: int, maximum: int, begin: str) -> None:
    found = count_finding(n_found, minimum, maximum)

    assert found.partition(":")[0] == begin
