"""The shape of an Echo model, in one dataclass; stored inside every checkpoint."""

from dataclasses import asdict, dataclass

POWERSET: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
"""Diarization class -> local speakers active: 3 speakers, at most 2 at once (Plaquet & Bredin,
"Powerset multi-class cross entropy loss for neural speaker diarization", Interspeech 2023)."""

TOKENS: tuple[str, ...] = ("<blank>", "<space>", "'", *"abcdefghijklmnopqrstuvwxyz")
"""Characters of the CTC output."""

PHONES: tuple[str, ...] = (
    "<blank>", "<space>", "aɪ", "aʊ", "b", "d", "dʒ", "eɪ", "f", "h", "iː", "j", "k", "l", "m", "n",
    "oʊ", "p", "s", "t", "tʃ", "uː", "v", "w", "z", "æ", "ð", "ŋ", "ɑː", "ɔɪ", "ɔː", "ə", "ɚ", "ɛ",
    "ɜː", "ɡ", "ɪ", "ɹ", "ʃ", "ʊ", "ʌ", "ʒ", "θ",
)  # fmt: skip
"""Sounds of English, for the words of a language model; a space ends a word."""

TASKS: tuple[str, ...] = ("diarization", "speaker", "asr", "separation")
"""The heads, in the order of the encoder's layer mixes."""


@dataclass(frozen=True)
class EchoConfig:
    """Sizes of every part. The defaults are Echo-25M, streaming form."""

    sample_rate: int = 16_000
    win_length: int = 400
    hop_length: int = 160
    n_fft: int = 512
    n_mels: int = 80
    patch_frames: int = 4
    """Mel frames per encoder step: 4 x 10 ms = one step every 40 ms."""
    d_model: int = 512
    n_layers: int = 8
    n_heads: int = 8
    d_mlp: int = 2048
    conv_kernel: int = 5
    left_context_steps: int = 96
    """Steps that the streaming graph remembers: 3.84 s."""
    max_distance: int = 256
    """Relative positions further apart than this share one bias."""
    window_steps: int = 250
    """Diarization window: 10 s."""
    d_diarization: int = 128
    embedding_dim: int = 192
    asr_frames_per_step: int = 2
    """CTC frames per encoder step: 50 Hz, so that fast talkers fit."""
    max_sources: int = 3
    d_slot: int = 256
    d_mask: int = 384

    @property
    def step_samples(self) -> int:
        """PCM samples per encoder step."""
        return self.patch_frames * self.hop_length

    @property
    def d_head(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads

    @property
    def overlap_samples(self) -> int:
        """Samples that neighbouring analysis frames share beyond one hop: the frontend's memory."""
        return self.win_length - self.hop_length

    def to_dict(self) -> dict[str, int]:
        """The fields as a plain dict, for the checkpoint's metadata."""
        return asdict(self)
