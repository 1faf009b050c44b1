"""The benchmarks run from start to end on a bundle that computes nothing."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import int8_vs_float
from benchmarks._rounds import ROUND_CALLS, TimedEncoder
from benchmarks.recording import long_recording
from echo_edge.audio import write_wav
from echo_edge.session import load


def test_int8_vs_float(null_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(null_bundle)
    assert int8_vs_float.main(["--float", folder, "--int8", folder, "--rounds", "2"]) == 0
    *table, line = capsys.readouterr().out.splitlines()
    result = json.loads(line)
    assert set(result["bundles"]) == {"float", "int8"}
    for figures in result["bundles"].values():
        assert figures["calls"] == 2 * ROUND_CALLS
        assert 0 < figures["min_ms"] <= figures["median_ms"]
    assert set(result["ratios"]) == set(int8_vs_float.RATIOS)
    assert result["ratios"]["encoder_mib"] == result["ratios"]["bundle_mib"] == 1.0
    assert result["chunk_ms"] == 80
    assert sum(row.startswith("| ") for row in table) == 1 + len(int8_vs_float.RATIOS)
    assert any("dB SQNR" in row for row in table)


def test_the_encoder_goes_on_beyond_the_end_of_the_audio(null_bundle: Path) -> None:
    with load(null_bundle) as session:
        encoder = TimedEncoder(session, np.zeros(2 * 1280 + 1, np.float32))
        encoder.run(5)
    assert len(encoder.samples_ms) == 5


@pytest.mark.parametrize(
    ("options", "code"), [(["--rounds", "0"], 2), (["--threads", "0"], 2), (["--int8", "no"], 3)]
)
def test_int8_vs_float_refuses_in_one_line(
    null_bundle: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int
) -> None:
    folder = str(null_bundle)
    assert int8_vs_float.main(["--float", folder, "--int8", folder, *options]) == code
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)


def test_long_recording(null_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert long_recording.main(["--minutes", "1,2", "--bundle", str(null_bundle)]) == 0
    *table, line = capsys.readouterr().out.splitlines()
    lengths = json.loads(line)["lengths"]
    assert [each["minutes"] for each in lengths] == [1, 2]
    assert [len(each["rss_mib"]) for each in lengths] == [1, 2]
    assert sum(row.startswith("| ") for row in table) == 1 + len(lengths)
    for each in lengths:
        assert 0 < each["rtf"] < 1
        assert each["rss_mib_peak"] >= max(each["rss_mib"]) > 10


def test_a_short_recording_is_repeated_to_the_length(tmp_path: Path) -> None:
    audio = tmp_path / "audio.wav"
    write_wav(audio, np.linspace(-0.5, 0.5, 40_000, dtype=np.float32))
    whole = np.concatenate(list(long_recording._repeated(str(audio), 100_000)))
    assert len(whole) == 100_000
    assert np.array_equal(whole[:40_000], whole[40_000:80_000])
    assert np.array_equal(whole[:20_000], whole[80_000:])


def test_long_recording_passes_on_what_failed(
    null_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    absent = str(tmp_path / "absent.wav")
    options = ["--minutes", "1", "--bundle", str(null_bundle), "--audio", absent]
    assert long_recording.main(options) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "absent.wav" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("text", ["", "0", "1,", "x", "-1", "1.5"])
def test_minutes_out_of_range(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert long_recording.main([f"--minutes={text}"]) == 2
    assert "--minutes" in capsys.readouterr().err


def test_no_bundle_at_the_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert long_recording.main(["--bundle", str(tmp_path / "absent")]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 1
