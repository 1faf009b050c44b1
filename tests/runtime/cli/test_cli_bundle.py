"""The command line with bundles: separated voices of a real one, info, verify, damage."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echo_edge import cli
from echo_edge.bundle.verify import open_bundle
from echo_edge.errors import EngineError
from echo_edge.session import Session

CONVERSATION = Path(__file__).parents[3] / "demo" / "conversation.flac"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Four seconds of the conversation, not a whole number of chunks."""
    samples, rate = soundfile.read(CONVERSATION, 4 * 16000 - 777, start=5 * 16000)
    soundfile.write(tmp_path / "clip.wav", samples, rate)
    return tmp_path / "clip.wav"


class TestSeparate:
    def test_files_are_as_long_as_the_input(
        self, default_bundle: Path, clip: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        voices = clip.with_name("new") / "voices"
        arguments = ["run", str(clip), "--bundle", str(default_bundle), "--separate", str(voices)]

        assert cli.main([*arguments, "--format", "json"]) == 0

        captured = capsys.readouterr()
        assert captured.err == ""
        sources = json.loads(captured.out)["sources"]
        assert sorted(source["path"] for source in sources) == sorted(map(str, voices.iterdir()))
        assert sources
        for source in sources:
            samples, rate = soundfile.read(source["path"])
            assert (len(samples), rate) == (4 * 16000 - 777, 16000)
            assert np.abs(samples).max() > 0.001

    @pytest.mark.parametrize("at", [1, 10, 40])
    def test_no_voice_is_left_when_the_engine_fails(
        self,
        fake_session: Session,
        clip: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        at: int,
    ) -> None:
        engine = fake_session.engines["separation"]
        run, calls = engine.run, []

        def fail(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            calls.append(1)
            if len(calls) == at:
                raise EngineError("separation.null: failed: try again")
            return run(inputs)

        monkeypatch.setattr(engine, "run", fail)
        monkeypatch.setattr("echo_edge.cli.run.load", lambda *_: fake_session)
        voices = clip.with_name("voices")
        voices.mkdir()
        (voices / "source_1.wav").write_bytes(b"an older one")
        out = clip.with_name("out.txt")
        assert cli.main(["run", str(clip)]) == 0
        heard = capsys.readouterr().out

        code = cli.main(["run", str(clip), "--separate", str(voices), "--out", str(out)])

        captured = capsys.readouterr()
        assert (code, captured.out) == (1, "")
        assert captured.err == "echo-edge: separation.null: failed: try again\n"
        assert [path.name for path in voices.iterdir()] == ["source_1.wav"]
        assert (voices / "source_1.wav").read_bytes() == b"an older one"
        assert heard.count("speaker_1: a") == 2
        assert out.read_text() == heard  # what was heard before is kept


@pytest.fixture(params=["null_bundle", "default_bundle"])
def bundle(request: pytest.FixtureRequest) -> Path:
    folder = request.getfixturevalue(request.param)
    assert isinstance(folder, Path)
    return folder


class TestBundle:
    def test_info(self, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["bundle", "info", str(bundle)]) == 0

        rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
        opened = open_bundle(bundle)
        assert rows["name"] == opened.manifest.name
        assert rows["sha256"] == opened.sha256
        assert rows["recipe"] == opened.manifest.recipe

    def test_info_as_json(self, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["bundle", "info", "--json", str(bundle)]) == 0

        assert capsys.readouterr().out == (bundle / "manifest.json").read_text()

    def test_verify(self, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["bundle", "verify", str(bundle)]) == 0

        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith(f"{open_bundle(bundle).manifest.name}: ")
        assert "self-test passed" in line

    def test_verify_as_json(self, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["bundle", "verify", "--json", str(bundle)]) == 0

        record = json.loads(capsys.readouterr().out)
        assert record["passed"] is True
        assert set(record["sqnr_db"]) == set(record["least_db"])
        assert all(record["sqnr_db"][name] >= least for name, least in record["least_db"].items())

    def test_verify_refuses_another_answer(
        self, null_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from echo_edge.engines import null

        def ones(spec: object) -> null.NullEngine:
            engine = null.NullEngine(spec)  # type: ignore[arg-type]
            engine._outputs = {name: value + 1 for name, value in engine._outputs.items()}
            return engine

        monkeypatch.setattr(null, "open_graph", lambda _path, spec, _threads: ones(spec))

        assert cli.main(["bundle", "verify", str(null_bundle)]) == 3
        captured = capsys.readouterr()
        assert captured.err.startswith("echo-edge: null-v1.0-float32-null: self-test FAILED: ")
        assert captured.err.count("\n") == 1


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


class TestOneFlippedBit:
    @pytest.fixture
    def copy(self, bundle: Path, tmp_path: Path) -> Iterator[Path]:
        folder = tmp_path / "copy"
        shutil.copytree(bundle, folder)
        yield folder
        shutil.rmtree(folder)

    @pytest.mark.parametrize("command", ["bundle verify {}", "run {audio} --bundle {}"])
    def test_in_each_file(
        self, copy: Path, clip: Path, capsys: pytest.CaptureFixture[str], command: str
    ) -> None:
        files = [path for path in sorted(copy.rglob("*")) if path.is_file()]
        assert len(files) >= 10
        for path in files:
            name = path.relative_to(copy).as_posix()
            # The manifest's own bits are its identity, not verified by it: break its syntax.
            at = 0 if name == "manifest.json" else path.stat().st_size // 2
            _flip(path, at)
            code = cli.main([word.format(copy, audio=clip) for word in command.split()])
            _flip(path, at)

            captured = capsys.readouterr()
            assert (name, code, captured.out) == (name, 3, "")
            assert captured.err.startswith(f"echo-edge: {name}: found ")
            assert captured.err.count("\n") == 1
