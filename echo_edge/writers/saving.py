"""A whole result to a file: the form that its suffix names."""

from os import PathLike
from pathlib import Path

from echo_edge.audio import SAMPLE_RATE
from echo_edge.errors import UsageError
from echo_edge.files import save as save_text
from echo_edge.result import Result
from echo_edge.writers import formats


def save(result: Result, path: str | PathLike[str]) -> None:
    """Write `result` to `path` in the form of its suffix. UsageError for an unknown suffix,
    OutputError if the file cannot be written."""
    form = Path(path).suffix.lower().removeprefix(".")
    if form not in formats.FORMAT_NAMES:
        known = ", ".join(f".{name}" for name in formats.FORMAT_NAMES)
        found = f"the suffix .{form}" if form else "no suffix"
        raise UsageError(f"{path}: found {found}, expected one of {known}: choose another name")
    name = uri(result) or Path(path).stem
    match form:
        case "json":
            text = to_json(result)
        case "rttm":
            text = formats.to_rttm(result, name)
        case "ctm":
            text = formats.to_ctm(result, name)
        case "srt":
            text = formats.to_srt(result)
        case "vtt":
            text = formats.to_vtt(result)
        case _:
            text = formats.to_txt(result)
    save_text(text, path)


def uri(result: Result) -> str:
    """The name of the recording in RTTM and CTM: its file's, empty where there is no file."""
    return Path(result.origin.path).stem


def to_json(result: Result) -> str:
    """Schema `echo-edge.result/1`; UsageError for a result that no session made."""
    origin, heard_s = result.origin, result.duration_s
    if origin.bundle is None:
        raise UsageError(
            "result: found no bundle that made it, expected the result of a session: "
            "to_txt, to_rttm, to_srt and the others need none"
        )
    return formats.to_json(
        result,
        audio=formats.AudioInfo(origin.path, heard_s, SAMPLE_RATE),
        bundle=origin.bundle,
        timing=formats.Timing(origin.wall_s / heard_s if heard_s else None, origin.wall_s),
    )
