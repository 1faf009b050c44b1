"""`echo-edge bundle`: look at a model bundle or verify it."""

import argparse
import json

from echo_edge.bundle import find_bundle, open_bundle
from echo_edge.errors import BundleError
from echo_edge.selftest import run_selftest
from echo_edge.session import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `echo-edge bundle`."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, action, text in (
        ("info", _info, "what the manifest says"),
        ("verify", _verify, "hashes, engine and self-test; exit 0 only if all hold"),
    ):
        command = actions.add_parser(name, help=text)
        command.add_argument("bundle", nargs="?", metavar="DIR", help="default: as for run")
        command.add_argument("--json", action="store_true", help="as JSON, for programs")
        command.set_defaults(run=action)


def _info(args: argparse.Namespace) -> int:
    bundle = open_bundle(find_bundle(args.bundle))
    manifest = bundle.manifest
    if args.json:
        print((bundle.path / "manifest.json").read_text(encoding="utf-8"), end="")
        return 0
    streaming = manifest.streaming
    chunk_ms = 1000 * manifest.audio.chunk_samples / manifest.audio.sample_rate
    rows = {
        "name": manifest.name,
        "version": f"{manifest.version} (build {manifest.build})",
        "sha256": bundle.sha256,
        "engine": f"{manifest.engine.name} >= {manifest.engine.minimum_version}",
        "recipe": manifest.recipe,
        "size": f"{bundle.size_bytes / 2**20:.1f} MiB in {len(manifest.files)} files",
        "chunk": f"{streaming.chunk_steps} steps, {chunk_ms:.0f} ms",
        "boards": ", ".join(manifest.boards),
        "checkpoint": manifest.source.checkpoint_sha256,
        "trained steps": str(manifest.source.checkpoint_step),
    }
    rows |= {f"parity {name}": f"{value:g}" for name, value in manifest.parity.items()}
    rows |= {f"metric {name}": f"{value:g}" for name, value in manifest.metrics.items()}
    for name, value in rows.items():
        print(f"{name:<32} {value}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    with load(find_bundle(args.bundle)) as session:
        outcome = run_selftest(session)
        name, n_files = session.bundle.manifest.name, len(session.bundle.manifest.files)
    if args.json:
        record = {"bundle": name, "passed": outcome.passed, "sqnr_db": outcome.sqnr_db}
        print(json.dumps(record | {"least_db": outcome.least_db}))
    else:
        print(f"{name}: {n_files} files as the manifest says, engine loads, {outcome.summary()}")
    if not outcome.passed:
        raise BundleError(
            f"{name}: {outcome.summary()}: this engine or board computes something else; "
            "update the engine or use another bundle"
        )
    return 0
