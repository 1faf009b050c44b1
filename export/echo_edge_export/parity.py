"""Parity of an exported bundle with its checkpoint: every graph through the runtime's own engine
against eager float torch. Parity of turns and words is in `task_parity`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echo_edge.selftest import sqnr_db, trace
from echo_edge.session import Session
from echo_edge_export.model.echo import Echo
from echo_edge_export.quantize.calibrate import stream

Array = NDArray[np.float32]

BUDGET_DB = {"float32": 60.0, "dynamic_w8": 25.0, "static_w8a8": 25.0}
"""Least SQNR of the latents per recipe; DESIGN: int8 latents at 25 dB or better."""

HEAD_SLACK_DB = 10.0
"""Heads amplify what is left of the noise; their posteriors may be this much worse."""

COMPARED = ("latents", "asr", "phones", "diarization", "speaker", "sources")


@dataclass(frozen=True)
class Parity:
    """SQNR in dB of every compared output, and what the recipe allows."""

    sqnr_db: dict[str, float]
    min_db: dict[str, float]

    @property
    def misses(self) -> list[str]:
        """A phrase for each output over budget."""
        return [
            f"{name} {self.sqnr_db[name]:.1f} dB, at least {floor:.1f} dB"
            for name, floor in self.min_db.items()
            if self.sqnr_db[name] < floor
        ]

    def table(self) -> str:
        """One row per output."""
        rows = [f"  {'output':<22}{'SQNR':>9}{'budget':>10}"]
        for name, value in self.sqnr_db.items():
            budget = f"{self.min_db[name]:.1f} dB" if name in self.min_db else ""
            rows.append(f"  {name:<22}{value:>6.1f} dB{budget:>10}")
        return "\n".join(rows)


def reference(model: Echo, pcm: Array, chunk_steps: int) -> dict[str, Array]:
    """Eager float outputs in the layout of `selftest.trace`."""
    outputs = {k: v.numpy() for k, v in stream(model, pcm, chunk_steps).items()}
    joined: dict[str, Array] = {}
    for name, value in outputs.items():
        if name == "sources":
            joined[name] = np.concatenate([chunk.T for chunk in value])
        elif name == "speaker":
            joined[name] = value[0]
        elif name in ("asr", "phones", "diarization"):
            joined[name] = np.exp(value[0])
        elif name.startswith(("latents", "features")):
            joined[name] = value[0]
    return joined


def measure(session: Session, expected: dict[str, Array], pcm: Array, recipe: str) -> Parity:
    """Compare one bundle with the float model over one clip."""
    measured = trace(session, pcm)
    found = {name: sqnr_db(value, measured[name]) for name, value in expected.items()}
    floor = BUDGET_DB.get(recipe, 25.0)
    budget = {name: floor - HEAD_SLACK_DB * (name != "latents") for name in COMPARED}
    return Parity(found, {name: value for name, value in budget.items() if name in found})
