"""Constants of the decoders: the `decoding` section of a manifest.

Python and C decode with these and with no constants of their own; the C library has the same keys,
ranges and defaults in `firmware_examples/libecho/src/bundle/decoding.h`. The eight keys without a
default are tuned for each model, so every manifest has them. A manifest from before a key existed
decodes with the key's default.

Seconds are of audio, cosines are between unit embeddings, nats are natural log-probabilities.
"""

from dataclasses import dataclass
from typing import Annotated

from echo_edge.strict_json import between, number_between

Share = Annotated[float, number_between(0, 1)]
Cosine = Annotated[float, number_between(-1, 1)]
Seconds = Annotated[float, number_between(0, 600)]


@dataclass(frozen=True)
class DecodingSpec:
    """Constants of the decoders, from activity to turns and from phones to words."""

    # 1. Tuned for each model.
    active_threshold: Share
    """Onset: a voice is active at a step from this score on; 0 to 1."""
    gap_s: Annotated[float, number_between(0, 60)]
    """Pauses up to this long do not end a turn; seconds."""
    group_threshold: Cosine
    """Least mean cosine between two voices of one speaker, when voices are grouped at the end."""
    language_weight: Annotated[float, number_between(0, 100)]
    """Factor of the language model's log-probabilities beside those of the phones."""
    new_voice_s: Seconds
    """Least clean speech that founds a voice or moves its centroid; seconds."""
    shortest_turn_s: Annotated[float, number_between(0, 60)]
    """Shorter turns are dropped; seconds."""
    stretch_threshold: Cosine
    """Least cosine at which a stretch belongs to a known voice where a new one could be."""
    word_bonus: Annotated[float, number_between(-100, 100)]
    """Added for every word of the search; nats. Where phones are rewarded (`training.priors`),
    words must be dear."""

    # 2. Voices.
    brief_s: Annotated[float, number_between(0, 3600)] = 30.0
    """A group with less speech is brief, seconds; every window counts speech again, so this is
    about 3 s of it. A brief group is rarely a speaker but two who spoke at once."""
    brief_share: Share = 0.1
    """A group is brief only below this share of all speech too; 0 to 1."""
    brief_threshold: Cosine = 0.2
    """`group_threshold` where one of the two groups is brief."""
    count_confidence: Share = 0.66
    """How sure the number of speakers is where labels are given at once: the share of right counts
    that `training.tune_count` measured."""
    count_slope: Annotated[float, number_between(0, 1000)] = 10.0
    """From the margin of the grouping, a cosine, to the log-odds that the number of speakers is
    right; fitted by `training.tune_count`."""
    deferred_voices: Annotated[int, between(16, 256)] = 128
    """Places for voices until the end: before it a speaker may be many."""
    enrol_min_s: Annotated[float, number_between(0.1, 600)] = 3.0
    """Less speech makes no voiceprint worth keeping; seconds."""
    enrol_min_share: Share = 0.75
    """Share of the speech of a recording that the first voice has if it is of one person."""
    expected_voice_margin: Annotated[float, number_between(0, 2)] = 0.2
    """Added to `stretch_threshold` while there are fewer voices than expected; a cosine."""
    given_count_share: Share = 0.1
    """Where the number of speakers is given: one with less of all speech is none while others have
    more than one voice; 0 to 1."""
    given_count_threshold: Cosine = 0.75
    """Where the number of speakers is given and decided at the end: `stretch_threshold` at least,
    before `expected_voice_margin`. By the model's own, two alike voices may be one from the
    start: those of pyannote's sample were."""
    min_embedded_steps: Annotated[float, number_between(0.5, 250)] = 3.0
    """With less clean speech a stretch has no usable embedding; steps of 40 ms."""
    min_logged_score: Share = 0.05
    """Scores below are not kept for the end: they decide nothing, and are many."""
    name_min_s: Seconds = 3.0
    """A voice with less speech gets no name; seconds."""
    slot_decay: Share = 0.8
    """What remains, per chunk, of the energy by which slots that carry nobody are compared."""
    slot_threshold: Cosine = 0.25
    """From this cosine on only one of two voices gets a slot of the separation."""
    voice_threshold: Cosine = 0.59
    """Least cosine for a name, from `training.tune_voices`; docs/performance.md has the shares of
    false and of missing names."""

    # 3. Words.
    beam_margin: Annotated[float, number_between(0, 1000)] = 12.0
    """Prefixes so far below the best are dropped; nats."""
    beam_width: Annotated[int, between(1, 256)] = 64
    """Prefixes in the beam after a frame."""
    commit_frames: Annotated[int, between(1, 1000)] = 10
    """Frames between two searches for words on which the prefixes agree."""
    frame_posterior: Annotated[float, number_between(0.01, 0.99)] = 0.5
    """From this posterior of the blank on a frame is silent, and from this posterior of its last
    phone on the phone lasts; 0 to 1."""
    min_phone_logprob: Annotated[float, number_between(-1000, 0)] = -6.0
    """Phones below this are not tried in a frame; nats."""
    second_pass_lead_s: Annotated[float, number_between(0, 5)] = 0.2
    """The second pass hears so much before the first step of speech of a stretch; seconds."""
    second_pass_max_loss: Annotated[float, number_between(0, 1000)] = 1.0
    """The text of the second pass may be so much less likely, by CTC, than the first's; nats per
    character."""
    second_pass_min_speech: Share = 0.5
    """Posterior of a step that somebody speaks at; stretches of such steps are read again."""
    second_pass_pause_s: Annotated[float, number_between(0, 10)] = 0.8
    """A stretch is read again after so long without speech; seconds."""
    second_pass_tail_s: Annotated[float, number_between(0, 5)] = 0.4
    """The second pass hears so much after the last step of speech of a stretch; seconds."""
    stability_margin: Annotated[float, number_between(0, 1000)] = 3.0
    """A word is final once no prefix so near to the best has another; nats."""
    unfinished_logprob: Annotated[float, number_between(-1000, 0)] = -20.0
    """Log-probability of the word that the end cuts off, of which nothing is written; nats."""
    word_lag_s: Annotated[float, number_between(0.1, 60)] = 4.0
    """Older words become final whether or not the prefixes agree; seconds."""
    word_memory_s: Annotated[float, number_between(20, 600)] = 60.0
    """Activity that is remembered for words that wait, longer than any word waits; seconds."""
    word_reach_s: Annotated[float, number_between(0, 10)] = 0.48
    """A word so far outside a turn still belongs to it; seconds."""
    word_silence_s: Annotated[float, number_between(0.1, 60)] = 0.8
    """So much silence completes a word even without a space; seconds."""
