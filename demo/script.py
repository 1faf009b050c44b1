"""The script of the demonstration: who says what, after which pause. Knows nothing about audio."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Voice:
    """Voice of one person."""

    flite: str
    """Name of the flite voice."""
    level_db: float
    """Speech level relative to the loudest person."""
    stretch: float
    """Speaking time relative to the voice's own; below 1 is faster."""


@dataclass(frozen=True)
class Line:
    """One utterance."""

    speaker: str
    gap_s: float
    """Pause after the latest end so far; negative: this line starts before that end."""
    text: str


SPEAKERS = {
    "anna": Voice("slt", 0.0, 1.0),
    "ben": Voice("rms", -2.0, 0.95),
    "craig": Voice("awb", -4.0, 1.05),
}

LINES = (
    Line("anna", 0.0, "Good morning. Today we put the new recorder in this room."),
    Line("ben", 0.5, "Good. Should it sit on the table or on the wall?"),
    Line("craig", 0.4, "I would put it in the middle of the table."),
    Line("ben", 0.6, "This table is long. Will it hear people at the far end?"),
    Line("anna", 0.3, "It has four good ears, so it should hear all of us."),
    Line("craig", -0.6, "Yes, it should."),
    Line("craig", 0.7, "We had the same one in our old office, and it worked well."),
    Line("anna", 0.4, "How much power does it need?"),
    Line("craig", 0.3, "Only five watts. One thin cable is enough for it."),
    Line("ben", 0.5, "And where do the words go? I do not want them to leave the house."),
    Line("anna", -0.6, "They stay here."),
    Line("anna", 0.3, "The little board does all the work and keeps every file."),
    Line("ben", 0.6, "That is what I hoped to hear."),
    Line("craig", 0.5, "If the power goes out, we lose less than one second."),
    Line("ben", -0.8, "Oh, very nice."),
    Line("anna", 0.7, "Can it tell who is talking when two people speak at once?"),
    Line("craig", 0.4, "Most of the time. It works best when we wait for each other."),
    Line("ben", -0.6, "And what if a guest joins us?"),
    Line("craig", 0.5, "Then it gives the guest a new number, and you can add a name later."),
    Line("anna", 0.8, "Fine. Let us try it for two weeks and then talk again."),
    Line("ben", 0.3, "I will bring a drill and some tape after lunch."),
    Line("craig", 0.4, "Thank you both. See you at three."),
)
