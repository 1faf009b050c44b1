"""Named quantization recipes: what happens to the linears of each graph. Everything else stays
float: attention products, norms, softmax, gates, depthwise convolutions, the frontend and caches.
"""

from dataclasses import dataclass

from echo_edge.errors import UsageError

QUANTIZED_GRAPHS = (
    "encoder", "diarization", "speaker", "asr", "separation", "asr_memory", "asr_decoder",
)  # fmt: skip

FLOAT_LINEARS = frozenset(
    {
        "encoder.patch",
        "diarization.out", "speaker.score", "speaker.out", "asr.out", "asr.sounds",
        "separation.voice", "separation.presence", "separation.proj", "separation.fc1",
        "separation.fc2", "separation.modulate", "asr_memory.positions", "asr_decoder.order",
    }
)  # fmt: skip
"""The first layer (its input, log-mel, has a wide range: int8 cost 8 to 15 dB of the latents), the
last small layers of the heads and what runs on three slots only. They cost next to nothing.
Positions are looked up, not multiplied."""


@dataclass(frozen=True)
class Recipe:
    """A recipe: how linears are stored and run."""

    name: str
    weight_bits: int
    """32 for float, 8 or 7 for signed per-output-channel integers."""
    activations: str
    """`float`, `dynamic` (range of each call) or `static` (calibrated range)."""


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("float32", 32, "float"),
        Recipe("dynamic_w8", 8, "dynamic"),
        Recipe("static_w8a8", 8, "static"),
        Recipe("static_w7a8", 7, "static"),
    )
}


def find_recipe(name: str) -> Recipe:
    """The recipe called `name`; UsageError names the known ones."""
    if name not in RECIPES:
        raise UsageError(f"recipe {name!r}: not known, choose one of {', '.join(RECIPES)}")
    return RECIPES[name]


def second_pass_recipe(recipe: Recipe) -> Recipe:
    """What a bundle's recipe means for the second pass of words, whose products have one row: the
    range of that row costs nothing to find, so static recipes become dynamic."""
    return RECIPES["dynamic_w8"] if recipe.activations == "static" else recipe
