"""Sentences to be read aloud, as they are written: books, conversations, and numbers and letters.

Casing and punctuation are kept; digits never occur, numbers are words. Nothing held out is among
them (`training.corpora.held_out`).
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from training.corpora.bigrams import read_books
from training.corpora.data import normalize_text
from training.corpora.held_out import HeldOut

WORDS = (3, 28)
"""Length of a sentence from books; of a turn of conversation up to this."""

PLAIN = re.compile(r"[A-Z][A-Za-z ,.;:!?'’—-]*[.!?]")
"""A sentence without digits, brackets or signs, from its capital to its stop."""

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
TITLE = re.compile(r"\b(Mr|Mrs|Ms|Dr|St|No|Capt|Col|Gen|Rev|Hon|vs|etc)\.$")

WORD_LISTS = {
    "small": "zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen",
    "tens": "twenty thirty forty fifty sixty seventy eighty ninety",
    "month": "January February March April May June July August September October "
    "November December",
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "ordinal": "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
    "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth "
    "twenty-first twenty-second twenty-third twenty-fourth twenty-fifth twenty-sixth thirtieth",
    "name": "Abigail Ahmed Alvarez Bennett Carter Chandra Chen Cooper Diaz Dubois Edwards Fatima "
    "Fischer Garcia Graham Hassan Hughes Ibrahim Ingrid Jackson Kapoor Kelly Kowalski Lee Lopez "
    "Marshall Mohammed Murphy Nakamura Nguyen Oliver Olsen Patel Quentin Ramirez Rossi Schmidt "
    "Singh Svensson Taylor Thompson Ueda Vasquez Virginia Walker Xavier Yusuf Zhang Zimmer",
}
WORD = {kind: words.split() for kind, words in WORD_LISTS.items()}

TEMPLATES = (
    "My number is {phone}.", "You can call me back on {phone}.", "It's {phone}, extension {small}.",
    "The code is {code}.", "Reference number {code}, please.", "That's {code}, as I said.",
    "My name is {name}, that's {spelled}.", "It's spelled {spelled}.", "{name}: {spelled}.",
    "Set a timer for {small} minutes.", "Wake me at {time} on {day}.", "Let's meet at {time}.",
    "The meeting is on {day}, the {ordinal} of {month}.", "It was {month} {ordinal}, {year}.",
    "That comes to {number} dollars and {small} cents.", "Turn the volume to {small} percent.",
    "We counted {number} of them in {year}.", "Channel {small}, then {small}, then {small}.",
    "About {number} people live there.", "{number} metres, give or take {small}.",
    "It weighs {small} point {digit} kilograms.", "Room {small}, on the {ordinal} floor.",
    "{digits}.", "{digits}, {digits}.", "{number}, {number}, {number}.", "{phone}.",
)  # fmt: skip

Rng = np.random.Generator


def number(n: int) -> str:
    """English words of 0 to 999,999.

    >>> number(40_215)
    'forty thousand two hundred and fifteen'
    """
    if n < 20:
        return WORD["small"][n]
    if n < 100:
        return WORD["tens"][n // 10 - 2] + (f"-{number(n % 10)}" if n % 10 else "")
    unit, name = (1000, "thousand") if n >= 1000 else (100, "hundred")
    rest = n % unit
    joined = " and " if rest and (unit == 100 or rest < 100) else " "
    return f"{number(n // unit)} {name}" + (joined + number(rest) if rest else "")


def _digits(rng: Rng, count: int) -> str:
    words = [number(int(i)) for i in rng.integers(0, 10, count)]
    return " ".join("oh" if word == "zero" and rng.random() < 0.3 else word for word in words)


def _code(rng: Rng) -> str:
    """Letters and digits in some order, such as a booking has."""
    letters = [chr(ord("A") + int(i)) for i in rng.integers(0, 26, int(rng.integers(1, 4)))]
    parts = [", ".join(letters), _digits(rng, int(rng.integers(2, 5)))]
    return ", ".join(parts if rng.random() < 0.7 else parts[::-1])


def _time(rng: Rng) -> str:
    minute = int(rng.integers(0, 60))
    minutes = "o'clock" if minute == 0 else ("oh " if minute < 10 else "") + number(minute)
    return f"{number(int(rng.integers(1, 13)))} {minutes}"


def _field(kind: str, rng: Rng) -> str:
    """Filler of `{kind}` in a template; a name's spelling is put in later."""
    made: dict[str, Callable[[], str]] = {
        "phone": lambda: ", ".join(_digits(rng, n) for n in (3, 3, 4)),
        "code": lambda: _code(rng),
        "small": lambda: number(int(rng.integers(2, 100))),
        "number": lambda: number(int(10 ** rng.uniform(2, 5.5))),
        "time": lambda: _time(rng),
        "year": lambda: f"{number(int(rng.integers(17, 21)))} {number(int(rng.integers(10, 100)))}",
        "digit": lambda: _digits(rng, 1),
        "digits": lambda: _digits(rng, int(rng.integers(3, 8))),
    }
    return made[kind]() if kind in made else str(rng.choice(WORD[kind]))


def spoken_number(rng: Rng) -> str:
    """A sentence of numbers, dates, codes or spelled letters."""
    template = str(rng.choice(TEMPLATES))
    name = str(rng.choice(WORD["name"]))
    text = template.replace("{name}", name).replace("{spelled}", ", ".join(name.upper()))
    text = re.sub(r"\{(\w+)\}", lambda found: _field(found[1], rng), text)
    return text[0].upper() + text[1:]


def tidy(text: str) -> str:
    """One line without quotation marks, tags and emphasis, no space before a comma or a stop."""
    text = re.sub(r"<[^>]*>|[\"“”_]|(?<!\w)'|'(?=\s|$)", " ", text).replace("--", "—")
    return re.sub(r"\s+([,.;:!?])", r"\1", " ".join(text.split()))


def book_sentences(path: Path) -> Iterator[str]:
    """Sentences of a book that can be read as they stand."""
    for paragraph in re.split(r"\n\s*\n", read_books(path).replace("\r", "")):
        pieces: list[str] = []
        for piece in SENTENCE.split(tidy(paragraph)):
            joined = f"{pieces.pop()} {piece}" if pieces and TITLE.search(pieces[-1]) else piece
            pieces.append(joined)
        for piece in pieces:
            words = piece.split()
            shouted = any(len(w) > 3 and w.isupper() for w in words)
            if WORDS[0] <= len(words) <= WORDS[1] and not shouted and PLAIN.fullmatch(piece):
                yield piece


def turn_sentences(path: Path) -> Iterator[str]:
    """Sentences of single turns of the timed dialogues, of up to 28 words."""
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            stretch: list[str] = []
            for piece in SENTENCE.split(tidy(row["text"])):
                if len(" ".join([*stretch, piece]).split()) > WORDS[1]:
                    yield " ".join(stretch)
                    stretch = []
                stretch.append(piece)
            yield " ".join(stretch)


def readable(texts: Iterable[str], held_out: HeldOut) -> list[str]:
    """Each text once, in order of the alphabet, without digits and without what is held out."""
    return sorted(
        text
        for text in set(texts)
        if 1 <= len(text.split()) <= WORDS[1] and _fits(normalize_text(text), held_out)
    )


def _fits(text: str, held_out: HeldOut) -> bool:
    return bool(text) and not held_out.has(text)
