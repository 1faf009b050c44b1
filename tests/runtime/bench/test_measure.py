"""Turns, warm-up, paces, the reference work and the process that measures loading."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from echo_edge.bench import measure, probe
from echo_edge.bench.live import Live, listen
from echo_edge.bench.machine import MachineMonitor, busy_s
from echo_edge.bench.measure import ROUND_CALLS
from echo_edge.bench.reference import Reference
from echo_edge.bundle.verify import open_bundle
from echo_edge.errors import EchoError
from echo_edge.session import load


def test_warm_up_fills_the_window_whatever_the_chunk(null_bundle: Path) -> None:
    manifest = open_bundle(null_bundle).manifest
    long_window = replace(manifest, diarization=replace(manifest.diarization, window_steps=250))
    chunks = measure.warm_up_chunks(long_window)
    assert chunks * manifest.streaming.chunk_steps >= 250


def test_neither_warm_up_nor_live_counts_offline(null_bundle: Path) -> None:
    with load(null_bundle) as session:
        contender = measure.Contender(session, None)
        contender.warm_up()
        assert contender.samples_ms == []
        assert set(contender.spent_s.values()) == {0.0}
        contender.push(3)
        assert len(contender.samples_ms) == 3
        assert all(
            spent_s > 0 for name, spent_s in contender.spent_s.items() if name != "diarization"
        )
        spent_s = dict(contender.spent_s)
        live = contender.listen(seconds=0.02, pace=16)
        assert (live.period_s, len(live.latency_ms)) == (0.005, 4)
        assert len(contender.samples_ms) == 3
        assert contender.spent_s == spent_s


def test_configurations_take_turns(null_bundle: Path) -> None:
    with load(null_bundle) as session, Reference() as reference:
        contenders = [measure.Contender(session, None) for _ in range(2)]
        null = [measure.null_contender(session.bundle, None)]
        measure.measure_offline(contenders, null, reference, MachineMonitor(), 0.01, lambda _: None)
        (n_samples,) = {len(contender.samples_ms) for contender in (*contenders, *null)}
        assert all(contender.measured_s >= 0.01 for contender in contenders)
    n_turns, rest = divmod(n_samples, measure.ROUND_CHUNKS)
    assert (n_turns >= 1, rest) == (True, 0)
    assert len(reference.samples_ms) == n_turns * ROUND_CALLS


def test_the_null_lane_is_not_lost_in_a_search(null_bundle: Path) -> None:
    """Zeros as log-probabilities make every letter likely: words are taken letter by letter."""
    contender = measure.null_contender(open_bundle(null_bundle), None)
    contender.push(50)
    assert len(contender.samples_ms) == 50


class Clock:
    """Time that passes only in sleep and in work."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


def paced(work_s: list[float], period_s: float) -> Live:
    clock, durations = Clock(), iter(work_s)
    return listen(lambda: clock.sleep(next(durations)), period_s, len(work_s), clock, clock.sleep)


def test_live_that_keeps_up_waits_for_each_chunk() -> None:
    live = paced([0.1, 0.2, 0.1], 0.5)
    assert live.latency_ms == pytest.approx([100, 200, 100])
    assert live.lag_ms == pytest.approx([0, 0, 0])
    assert live.deadline_misses == 0
    assert live.lag_growth_ms_per_s == pytest.approx(0)


def test_one_late_chunk_delays_those_behind_it() -> None:
    live = paced([0.1, 0.9, 0.3, 0.1], 0.5)
    assert live.latency_ms == pytest.approx([100, 900, 700, 300])
    assert live.lag_ms == pytest.approx([0, 0, 400, 200])
    assert live.deadline_misses == 2


def test_live_that_falls_behind_lags_ever_more() -> None:
    live = paced([0.6] * 10, 0.5)
    assert live.lag_ms == pytest.approx([100 * n for n in range(10)])
    assert live.lag_growth_ms_per_s == pytest.approx(200)  # 100 ms per period of 0.5 s
    assert live.deadline_misses == 10


def test_one_chunk_has_no_slope() -> None:
    assert paced([0.1], 0.5).lag_growth_ms_per_s == 0.0


def test_reference_work_is_timed_in_its_own_process() -> None:
    with Reference() as reference:
        reference.warm_up()
        assert reference.samples_ms == []
        reference.run(3)
        assert len(reference.samples_ms) == 3
        assert all(ms > 0 for ms in reference.samples_ms)
        assert reference.cpu_s > sum(reference.samples_ms) / 2000


def test_reference_work_that_ended_is_one_line() -> None:
    reference = Reference()
    reference.close()
    with pytest.raises(EchoError, match=r"expected answers: free 64 MiB") as caught:
        reference.run(1)
    assert len(str(caught.value).splitlines()) == 1


def test_a_failing_new_process_is_one_line(null_bundle: Path) -> None:
    bundle = open_bundle(null_bundle)
    (null_bundle / "asr.null").unlink()
    with pytest.raises(EchoError, match=r"asr\.null") as caught:
        probe.probe_afresh(bundle, 1)
    assert len(str(caught.value).splitlines()) == 1


def stat(root: Path, ticks: str) -> Path:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/stat").write_text(f"cpu  {ticks}\ncpu0 1 2 3\n")
    return root


def test_who_else_used_the_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    stat(tmp_path, "1000 0 0 5000 7 0 0 0 0 0")
    assert busy_s(tmp_path) == 10.0
    monitor = MachineMonitor(tmp_path)
    stat(tmp_path, "1300 0 50 9000 7 10 20 20 0 0")  # 4 s more, idle and waiting are no work
    own_s = 1.5
    others = monitor.finish(helpers_s=own_s)
    assert others is not None
    elapsed_s = monitor.samples[-1].t_s
    assert others * max(elapsed_s, 1e-3) == pytest.approx(4.0 - own_s, abs=0.5)


@pytest.mark.parametrize("text", ["", "cpu 1 2", "cpu a b c d e f g h", "btime 1 2 3 4 5 6 7 8"])
def test_a_kernel_that_does_not_tell(tmp_path: Path, text: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(text)
    assert busy_s(tmp_path) is None
    assert MachineMonitor(tmp_path).finish() is None


def test_a_long_watch_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echo_edge.bench.machine.SAMPLE_EVERY_S", 0.0)
    monitor = MachineMonitor(tmp_path)
    for _ in range(3000):
        monitor.sample()
    monitor.finish()
    assert len(monitor.samples) <= 502
    times_s = [each.t_s for each in monitor.samples]
    assert times_s == sorted(times_s)


def test_audio_runs_on_into_its_beginning(null_bundle: Path) -> None:
    chunks = np.array(list(measure.chunks_of(open_bundle(null_bundle), np.arange(3000.0))))
    assert chunks.shape == (3, 1280)
    assert chunks[2, 3000 - 2560] == 0.0
