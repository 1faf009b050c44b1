"""Draws the pictures of the README and of the guide pages as SVG, into docs/pictures/.

    python docs/pictures.py [--result RESULT.json]

`flow.svg`: what happens to a chunk of audio. `rooms.svg`: the rooms of the runtime, each above
those that it may import, read from `[tool.importlinter]`. `demo.svg`: who speaks when in the demo
conversation, the reference above what echo-edge says; drawn only with RESULT, which is what
`echo-edge run demo/conversation.flac --latency-s 2 --format json --no-voices` prints.
`speaker_count.svg` is not drawn here but by `python -m training.tune_count`.
"""

import argparse
import json
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "pictures"
COLORS = ("#0072b2", "#d98200", "#009e73", "#b0559b")
"""Okabe and Ito's colours, told apart by colour-blind people; orange a little darker."""

STYLE = """\
<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.small { font-size: 11px; fill: #59636e } .head { font-weight: 600 }
.line { stroke: #59636e; fill: none } .grid { stroke: #d1d9e0 } .lane { fill: #eff2f5 }
.box { fill: #eff2f5; stroke: #8c959f } .back { fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .small { fill: #9198a1 } .line { stroke: #9198a1 }
.grid { stroke: #3d444d } .lane { fill: #21262d } .box { fill: #21262d; stroke: #6e7681 }
.back { fill: #0d1117 } }
</style>"""

Turn = tuple[float, float, str]


def svg(width: int, height: int, title: str, body: Iterable[str]) -> str:
    """A picture that follows light and dark mode."""
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    background = '<rect class="back" width="100%" height="100%" rx="6"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    return (
        "\n".join([head, f"<title>{escape(title)}</title>", STYLE, background, *body, "</svg>"])
        + "\n"
    )


def text(x: float, y: float, value: str, style: str = "", anchor: str = "start") -> str:
    """One line of text; `x` is where it starts, or its middle or end by `anchor`."""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" class="{style}">{escape(value)}</text>'
    )


def box(x: float, y: float, width: float, height: float, style: str, fill: str = "") -> str:
    """A rectangle, in a class's colours or in `fill`."""
    color = f' fill="{fill}"' if fill else ""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" '
        f'class="{style}"{color}/>'
    )


# --- demo.svg -----------------------------------------------------------------------------------

LEFT, PLOT, ROW, GAP = 108, 768, 17, 5


def pairs(reference: Sequence[Turn], result: Sequence[Turn]) -> dict[str, str]:
    """For each speaker of the result, the reference speaker with the most common time."""
    common: defaultdict[tuple[str, str], float] = defaultdict(float)
    for start_s, end_s, speaker in result:
        for other_start_s, other_end_s, name in reference:
            common[speaker, name] += max(0, min(end_s, other_end_s) - max(start_s, other_start_s))
    paired: dict[str, str] = {}
    for speaker, name in sorted(common, key=lambda each: -common[each]):
        if speaker not in paired and name not in paired.values():
            paired[speaker] = name
    return paired


def band(
    top: float, title: str, turns: Sequence[Turn], colors: dict[str, str], scale: float
) -> list[str]:
    """A headline and one lane per speaker."""
    body = [text(LEFT, top + 12, title, "head")]
    for row, (speaker, color) in enumerate(colors.items()):
        y = top + 22 + row * (ROW + GAP)
        body += [
            text(LEFT - 10, y + 13, speaker, "", "end"),
            box(LEFT, y, PLOT, ROW, "lane"),
            *(
                box(LEFT + start_s * scale, y, (end_s - start_s) * scale, ROW, "", color)
                for start_s, end_s, each in turns
                if each == speaker
            ),
        ]
    return body


def demo(reference: Sequence[Turn], result: Sequence[Turn], duration_s: float) -> str:
    """The timeline: the reference above, the result below, one colour per person."""
    scale = PLOT / duration_s
    names = sorted({name for *_, name in reference})
    color_of = dict(zip(names, COLORS, strict=False))
    paired = pairs(reference, result)
    speakers = sorted({speaker for *_, speaker in result}, key=lambda each: paired.get(each, each))
    lanes = {each: color_of.get(paired.get(each, ""), COLORS[-1]) for each in speakers}
    below = 20 + 22 + len(names) * (ROW + GAP) + 14
    bottom = below + 22 + len(lanes) * (ROW + GAP)
    axis = []
    for second in range(0, int(duration_s) + 1, 10):
        x = LEFT + second * scale
        axis.append(f'<path class="grid" d="M{x:g} 40V{bottom:g}"/>')
        axis.append(text(x, bottom + 15, f"{second} s", "small", "middle"))
    body = [
        *axis,
        *band(20, "Reference: who really speaks", reference, color_of, scale),
        *band(below, "echo-edge, live, 2 s latency", result, lanes, scale),
    ]
    title = "Timeline of the demo conversation: three speakers, the reference above the result"
    return svg(LEFT + PLOT + 24, round(bottom + 26), title, body)


def turns(document: dict[str, Any]) -> list[Turn]:
    """The turns of a result, or of the demo's reference."""
    return [(each["start_s"], each["end_s"], each["speaker"]) for each in document["turns"]]


# --- flow.svg -----------------------------------------------------------------------------------


def arrow(x0: float, y0: float, x1: float, y1: float) -> str:
    """A line with a head, horizontal at both ends."""
    middle = (x0 + x1) / 2
    path = f"M{x0:g} {y0:g}C{middle:g} {y0:g} {middle:g} {y1:g} {x1:g} {y1:g}"
    return f'<path class="line" d="{path}m-6 -4l6 4l-6 4"/>'


def labelled(x: float, y: float, width: float, title: str, remark: str) -> list[str]:
    """A box with a title and a smaller line below it."""
    middle = x + width / 2
    return [
        box(x, y, width, 46, "box"),
        text(middle, y + 20, title, "head", "middle"),
        text(middle, y + 36, remark, "small", "middle"),
    ]


def flow() -> str:
    """A chunk of audio on its way through the graphs."""
    body = [
        *labelled(16, 97, 120, "audio", "any file, pipe, mic"),
        arrow(136, 120, 160, 120),
        *labelled(160, 97, 120, "frontend", "log-mel features"),
        arrow(280, 120, 304, 120),
        *labelled(304, 97, 140, "encoder", "once every 480 ms"),
    ]
    heads = (
        ("diarization", "who is active", "turns and speakers", "labels or known names"),
        ("transcription", "sounds, then words", "words with times", "txt json rttm ctm srt vtt"),
        ("separation", "one voice per output", "separated voices", "one WAV per speaker"),
    )
    for row, (head, remark, result, form) in enumerate(heads):
        y = 21 + row * 76
        body += [
            arrow(444, 120, 484, y + 23),
            *labelled(484, y, 160, head, remark),
            arrow(644, y + 23, 684, y + 23),
            *labelled(684, y, 170, result, form),
        ]
    return svg(870, 240, "How a chunk of audio becomes turns, words and separated voices", body)


# --- rooms.svg ----------------------------------------------------------------------------------

REMARKS = {
    "cli": "commands",
    "bench": "measure; install a model; record for days",
    "selftest": "is the model itself; known people on disk",
    "session": "a loaded bundle, immutable",
    "stream": "one recording that flows through it",
    "attribution": "turns and words with speakers; text files",
    "heads": "activity, words, voices from latents",
    "frontend": "features",
    "audio": "any audio to 16 kHz mono blocks",
    "engines": "run one graph",
    "bundle": "the machine; the model on disk; whole files",
    "json_schema": "disk space; JSON Schemas of our own formats",
    "strict_json": "our own JSON, read strictly",
    "errors": "what everybody uses",
}
"""What a layer is for, by one of its rooms."""


def rooms(layers: Sequence[str]) -> str:
    """The rooms of the runtime, top layer first."""
    body, width, step = [text(16, 26, "A room imports only rooms below it", "head")], 700, 34
    for row, layer in enumerate(layers):
        names = [name.strip() for name in re.split(r"[:|]", layer)]
        remark = next((REMARKS[name] for name in names if name in REMARKS), "")
        y = 40 + row * step
        left = 16.0
        for name in names:
            size = 18 + 7.4 * len(name)
            body += [
                box(left, y, size, 26, "box"),
                text(left + size / 2, y + 18, name, "", "middle"),
            ]
            left += size + 6
        body.append(text(width - 16, y + 17, remark, "small", "end"))
    return svg(width, 40 + len(layers) * step + 10, "The rooms of the runtime, by layers", body)


def runtime_layers() -> list[str]:
    """The layers of `echo_edge` in pyproject.toml, top first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each.get("containers") == ["echo_edge"])
    return list(layers)


def main(argv: list[str] | None = None) -> int:
    """Draw all pictures; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--result", type=Path, help="JSON of the demo conversation")
    args = parser.parse_args(argv)
    drawn = {"flow": flow(), "rooms": rooms(runtime_layers())}
    if args.result:
        result = json.loads(args.result.read_text(encoding="utf-8"))
        reference = json.loads((ROOT / "demo" / "conversation.json").read_text(encoding="utf-8"))
        drawn["demo"] = demo(turns(reference), turns(result), result["audio"]["duration_s"])
    for name, picture in drawn.items():
        (FOLDER / f"{name}.svg").write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
