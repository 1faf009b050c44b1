"""The pictures in docs/pictures are those that docs/pictures.py draws."""

import json
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"
pictures = runpy.run_path(str(ROOT / "docs" / "pictures.py"))


def test_the_rooms_are_those_of_the_contract() -> None:
    drawn = pictures["rooms"](pictures["runtime_layers"]())

    assert (FOLDER / "rooms.svg").read_text(encoding="utf-8") == drawn


def test_the_flow_is_drawn_from_the_script() -> None:
    assert (FOLDER / "flow.svg").read_text(encoding="utf-8") == pictures["flow"]()


def test_the_timeline_has_every_turn_of_the_reference() -> None:
    reference = json.loads((ROOT / "demo" / "conversation.json").read_text(encoding="utf-8"))
    turns = pictures["turns"](reference)

    timeline = ElementTree.fromstring(pictures["demo"](turns, turns, 63.08))  # noqa: S314

    bars = [each for each in timeline.iter() if each.get("fill") in pictures["COLORS"]]
    assert len(bars) == 2 * len(turns)


@pytest.mark.parametrize("name", ["demo", "flow", "rooms"])
def test_a_picture_says_what_it_shows(name: str) -> None:
    root = ElementTree.parse(FOLDER / f"{name}.svg").getroot()  # noqa: S314

    assert root[0].tag.endswith("title")
    assert root[0].text


def test_speakers_are_paired_by_common_time() -> None:
    reference = [(0.0, 5.0, "ben"), (5.0, 9.0, "anna")]
    result = [(4.5, 9.0, "speaker_1"), (0.0, 4.5, "speaker_2"), (20.0, 21.0, "speaker_3")]

    paired = pictures["pairs"](reference, result)

    assert (paired["speaker_1"], paired["speaker_2"]) == ("anna", "ben")
    assert "speaker_3" not in paired
