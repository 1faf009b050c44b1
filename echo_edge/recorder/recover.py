"""After a crash: make every file whole, process all audio, write the results.

All audio is processed again from the first sample on, by the code that processes it live: the
results are those of an undisturbed run, whatever state the crash left the old ones in.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from echo_edge.audio import SAMPLE_RATE
from echo_edge.errors import EchoError, OutputError
from echo_edge.recorder.log import RESULTS, MessageLog, read_messages, replace_messages
from echo_edge.recorder.messages import (
    Message,
    NobodyByName,
    Progress,
    SpeakerName,
    forget_between,
)
from echo_edge.recorder.options import Options, Report
from echo_edge.recorder.recordings import ABOUT, RESULT, find_recordings, read_about
from echo_edge.recorder.segments import repair, segments
from echo_edge.recorder.storage import lock
from echo_edge.recorder.transcribe import Transcriber, write_results
from echo_edge.result import Turn, Word
from echo_edge.session import Session


def recover(
    path: Path,
    load: Callable[[int], Session],
    say: Callable[[str], None],
    progress: Callable[[float], None] = lambda _: None,
    adjust: Callable[[Options], Options] = lambda options: options,
) -> int:
    """Recover a recording, or all in a folder that need it; how many were recovered.

    `load` gives a session of the bundle with so many threads and is called only if there is work;
    `progress` gets the share that is done, 0 to 1; `adjust` may change the options with which it
    was recorded. A recording in progress is left alone, one that is complete too. Raises EchoError;
    of several recordings each gets its chance.
    """
    if not path.is_dir():
        raise OutputError(f"{path}: no such folder, expected a session or a folder of sessions")
    single = (path / ABOUT).exists()
    folders = [path] if single else find_recordings(path)
    if not folders:
        read_about(path)  # says what was expected
    n_recovered, errors = 0, list[EchoError]()
    for folder in folders:
        claim = lock(folder)
        if claim is None:
            if single:
                raise OutputError(f"{folder}: is being recorded or recovered: stop that first")
            continue
        try:
            if not (folder / RESULT).exists():
                _recover(folder, adjust(read_about(folder).options), load, say, progress)
                n_recovered += 1
        except EchoError as error:
            errors.append(error)
        finally:
            claim.close()
    for each in errors[:-1]:
        say(str(each))
    if errors:
        raise errors[-1]
    return n_recovered


def _recover(
    folder: Path,
    options: Options,
    load: Callable[[int], Session],
    say: Callable[[str], None],
    progress: Callable[[float], None],
) -> None:
    try:
        n_repaired = repair(folder)
    except OSError as error:
        raise OutputError(
            f"{folder}: audio cannot be repaired ({error}): check the disk"
        ) from error
    seconds = sum(segment.n_samples for segment in segments(folder)) / SAMPLE_RATE
    say(f"{folder}: {seconds:.1f} s of audio, {n_repaired} headers put right")

    def report(message: Message) -> None:
        if isinstance(message, Progress):
            progress(min(message.done_s / max(seconds, 1.0), 1.0))
        elif isinstance(message, NobodyByName):
            say(message.message)

    with load(options.threads) as session:
        _transcribe_all(folder, session, options, report)


def _transcribe_all(folder: Path, session: Session, options: Options, report: Report) -> None:
    """All results of a recording that has ended, from its first sample on.

    Results that were there are replaced once the new ones are complete. Raises EchoError.
    """
    partial = folder / f"{RESULTS}.partial"
    partial.unlink(missing_ok=True)
    old = read_messages(folder / RESULTS)
    log = MessageLog(partial)
    with closing(Transcriber(folder, options.stream(session, report), log, report)) as transcriber:
        while transcriber.step():
            pass
        transcriber.finish()
    found = segments(folder)
    if found and found[0].start > 0:
        _keep_old(partial, old, found[0].start / SAMPLE_RATE)
    partial.replace(folder / RESULTS)
    write_results(folder, session, transcriber.busy_s)


def _keep_old(path: Path, old: list[Message], audio_from_s: float) -> None:
    """Put the results of audio that is gone before the new ones of the rest, voices under the names
    they had: those of the old turns that overlap the new most."""
    new = read_messages(path)
    names = _old_names(old, new)
    early = [x for x in old if isinstance(x, Turn | Word) and x.start_s < audio_from_s]
    early = forget_between(early, audio_from_s, float("inf"))
    replace_messages(path, [*early, *(_renamed(each, names) for each in new)])


def _renamed(message: Message, names: dict[str, str]) -> Message:
    match message:
        case Turn() | SpeakerName():
            return replace(message, speaker=names[message.speaker])
        case Word() if message.speaker is not None:
            return replace(message, speaker=names[message.speaker])
    return message


def _old_names(old: list[Message], new: list[Message]) -> dict[str, str]:
    """For each speaker of the new turns the old speaker of the same times, or a new number."""
    shared: dict[tuple[str, str], float] = {}
    before = [x for x in old if isinstance(x, Turn)]
    for turn in (x for x in new if isinstance(x, Turn)):
        for other in before:
            both_s = min(turn.end_s, other.end_s) - max(turn.start_s, other.start_s)
            if both_s > 0:
                pair = (turn.speaker, other.speaker)
                shared[pair] = shared.get(pair, 0.0) + both_s
    names: dict[str, str] = {}
    for name, old_name in sorted(shared, key=lambda pair: -shared[pair]):
        if name not in names and old_name not in names.values():
            names[name] = old_name
    known = _speakers(old)
    for name in sorted(_speakers(new) - set(names)):
        names[name] = f"speaker_{len(known) + 1}"
        known.add(names[name])
    return names


def _speakers(messages: list[Message]) -> set[str]:
    found = (x.speaker for x in messages if isinstance(x, Turn | Word | SpeakerName))
    return {speaker for speaker in found if speaker}
