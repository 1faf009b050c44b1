"""Echo on the edge: who spoke when, what was said, and each voice on its own, from one encoder.

session = echo_edge.load()
session.transcribe("meeting.wav").save("meeting.srt")

for result in session.stream(latency_s=2.0).feed(blocks):
    show(result)
"""

from echo_edge import habits
from echo_edge.audio import read_blocks
from echo_edge.errors import (
    AudioError,
    BundleError,
    EchoError,
    EngineError,
    OutputError,
    UsageError,
    VoicesError,
)
from echo_edge.result import Result, Source, Speaker, SpeakerCount, Tentative, Turn, Word
from echo_edge.session import Session, load
from echo_edge.stream import Stream
from echo_edge.version import __version__ as __version__
from echo_edge.voices import Voice, Voiceprint, Voices

habits.switch_off()

__all__ = [
    "AudioError",
    "BundleError",
    "EchoError",
    "EngineError",
    "OutputError",
    "Result",
    "Session",
    "Source",
    "Speaker",
    "SpeakerCount",
    "Stream",
    "Tentative",
    "Turn",
    "UsageError",
    "Voice",
    "Voiceprint",
    "Voices",
    "VoicesError",
    "Word",
    "load",
    "read_blocks",
]
