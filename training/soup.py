"""The mean of a checkpoint and of what further training made of it: often better than both.

    python -m training.soup --start models/echo-25m.safetensors --end runs/heads/model.safetensors \
        --out runs/soup.safetensors

Both must be one model (`--start` is what the training started from). After Wortsman et al., "Robust
fine-tuning of zero-shot models", CVPR 2022.
"""

import argparse
from pathlib import Path

from echo_edge_export.checkpoint import load_checkpoint, save_checkpoint
from echo_edge_export.model.echo import Echo


def mean(start: Echo, end: Echo, share: float) -> None:
    """Move every weight of `end` to `share` of the way from `start`."""
    before = start.state_dict()
    end.load_state_dict(
        {
            name: before[name].lerp(value, share) if value.is_floating_point() else value
            for name, value in end.state_dict().items()
        }
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--end", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.5, help="of the way from start to end")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    start, end = load_checkpoint(args.start), load_checkpoint(args.end)
    mean(start.model, end.model, args.share)
    save_checkpoint(args.out, end.model, end.step)


if __name__ == "__main__":
    main()
