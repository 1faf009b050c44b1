"""The curves of training runs as one picture.

python -m training.curves runs/joint4 runs/joint8 --out runs/curves.png
"""

import argparse
import csv
from pathlib import Path

COLUMNS = 3
SMOOTHING = 0.7


def read_log(path: Path) -> dict[str, list[float]]:
    """The columns of a `log.csv`."""
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def smooth(values: list[float]) -> list[float]:
    """Running mean that starts at the first value."""
    out, mean = [], values[0]
    for value in values:
        mean = SMOOTHING * mean + (1.0 - SMOOTHING) * value
        out.append(mean)
    return out


def draw(runs: list[Path], out: Path) -> None:
    """One panel per figure, one line per run."""
    from matplotlib.figure import Figure

    logs = {run.name: read_log(run / "log.csv") for run in runs}
    skipped = ("step", "seconds", "skipped")
    names = [n for n in dict.fromkeys(k for log in logs.values() for k in log) if n not in skipped]
    n_rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 2.6 * n_rows), layout="constrained")
    for index, name in enumerate(names, 1):
        panel = figure.add_subplot(n_rows, COLUMNS, index)
        for run, log in logs.items():
            if name in log:
                (line,) = panel.plot(log["step"], log[name], alpha=0.25, linewidth=0.8)
                panel.plot(log["step"], smooth(log[name]), color=line.get_color(), label=run)
        panel.set_title(name, fontsize=10)
        panel.grid(alpha=0.3)
        panel.set_xlabel("step", fontsize=8)
    figure.axes[0].legend(fontsize=8)
    figure.savefig(out, dpi=110)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders with a log.csv")
    parser.add_argument("--out", type=Path, default=Path("runs/curves.png"))
    args = parser.parse_args()
    draw(args.runs, args.out)
    print(args.out)


if __name__ == "__main__":
    main()
