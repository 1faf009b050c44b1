"""`echo-edge bundle`: look at a model bundle, verify it, sign it, install it on this device."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from echo_edge.bundle.find import find_bundle, install_root
from echo_edge.bundle.verify import open_bundle
from echo_edge.errors import BundleError
from echo_edge.selftest import run_selftest
from echo_edge.session import load

if TYPE_CHECKING:  # imported where they are used: `info` should start fast
    from echo_edge.bundle.keys import TrustedKeys
    from echo_edge.deploy.install import Outcome, Policy

Action = Callable[[argparse.Namespace], int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `echo-edge bundle`."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    def add(name: str, action: Action, text: str) -> argparse.ArgumentParser:
        command = actions.add_parser(name, help=text, description=text)
        command.add_argument("--json", action="store_true", help="as JSON, for programs")
        command.set_defaults(run=action)
        return command

    info = add("info", _info, "what the manifest says")
    verify = add("verify", _verify, "signature, hashes, engine, self-test; exit 0 only if all hold")
    for command in (info, verify):
        command.add_argument("bundle", nargs="?", metavar="DIR", help="default: as for run")
    keygen = add("keygen", _keygen, "make a pair of keys: NAME.key to sign, NAME.pub for devices")
    keygen.add_argument("name", metavar="NAME", type=Path, help="a path without ending")
    keygen.add_argument(
        "--expires", metavar="DATE", type=_date, help="last day of its validity, YYYY-MM-DD"
    )
    sign = add("sign", _sign, "write SIGNATURE into a bundle")
    sign.add_argument("bundle", metavar="DIR", help="the bundle's folder")
    sign.add_argument("--key", metavar="FILE", type=Path, required=True, help="NAME.key of keygen")
    install = add("install", _install, "make a bundle the one that runs on this device")
    install.add_argument("source", metavar="SOURCE", help="folder, tar file, or - for tar on stdin")
    install.add_argument(
        "--allow-downgrade", action="store_true", help="accept a build older than the installed"
    )
    rollback = add("rollback", _rollback, "go back to the bundle that ran before")
    for command in (install, rollback):
        command.add_argument(
            "--root",
            metavar="DIR",
            type=Path,
            default=install_root(),
            help="where bundles are installed (default $ECHO_EDGE_ROOT or /var/lib/echo-edge)",
        )
    for command in (verify, install, rollback):
        command.add_argument(
            "--keys",
            metavar="DIR",
            type=Path,
            default=Path(os.environ.get("ECHO_EDGE_KEYS") or "/etc/echo-edge/keys"),
            help="trusted keys (default $ECHO_EDGE_KEYS or /etc/echo-edge/keys)",
        )
        command.add_argument(
            "--allow-unsigned", action="store_true", help="accept a bundle without SIGNATURE"
        )


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected YYYY-MM-DD") from None


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
        "signature": "there, see verify" if (bundle.path / "SIGNATURE").exists() else "none",
        "checkpoint": manifest.source.checkpoint_sha256,
        "trained steps": str(manifest.source.checkpoint_step),
    }
    rows |= {f"parity {name}": f"{value:g}" for name, value in manifest.parity.items()}
    rows |= {f"metric {name}": f"{value:g}" for name, value in manifest.metrics.items()}
    for name, value in rows.items():
        print(f"{name:<32} {value}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    folder = find_bundle(args.bundle)
    with load(folder, trusted=_keys_for(folder, args)) as session:
        outcome = run_selftest(session)
        bundle, n_files = session.bundle, len(session.bundle.manifest.files)
    name = bundle.manifest.name
    if args.json:
        record = {"bundle": name, "passed": outcome.passed, "signer": bundle.signer}
        print(json.dumps(record | {"sqnr_db": outcome.sqnr_db, "least_db": outcome.least_db}))
    else:
        signed = f"signed by {bundle.signer}" if bundle.signer else "not signed"
        print(f"{name}: {signed}, {n_files} files as the manifest says, engine loads, "
              f"{outcome.summary()}")  # fmt: skip
    if not outcome.passed:
        raise BundleError(
            f"{name}: {outcome.summary()}: this engine or board computes something else; "
            "update the engine or use another bundle",
            "selftest",
        )
    return 0


def _keys_for(folder: Path, args: argparse.Namespace) -> "TrustedKeys | None":
    """Keys to verify the bundle with. Unsigned ones pass where no key is trusted at all: there is
    nothing to compare with; and where --allow-unsigned says so."""
    is_signed = (folder / "SIGNATURE").exists()
    if not is_signed and (args.allow_unsigned or not args.keys.exists()):
        return None
    trusted = _policy(args).trusted
    return trusted if is_signed or trusted.keys else None


def _policy(args: argparse.Namespace) -> "Policy":
    from echo_edge.bundle.keys import trusted_keys
    from echo_edge.deploy.install import Policy

    allow_downgrade = getattr(args, "allow_downgrade", False)
    return Policy(trusted_keys(args.keys), args.allow_unsigned, allow_downgrade)


def _keygen(args: argparse.Namespace) -> int:
    from echo_edge.bundle.keys import generate

    key = generate(args.name, args.expires)
    if args.json:
        files = {"private": f"{args.name}.key", "public": f"{args.name}.pub"}
        print(json.dumps(files | {"key_id": key.key_id, "expires": args.expires}, default=str))
    else:
        print(f"{args.name}.key  keep it secret: whoever has it can sign bundles")
        print(f"{args.name}.pub  for devices: copy it to /etc/echo-edge/keys/")
        print(f"key id {key.key_id}" + (f", expires {args.expires}" if args.expires else ""))
    return 0


def sign_bundle(folder: Path, key_file: Path) -> dict[str, str]:
    """Write SIGNATURE into the bundle in `folder`; name of the bundle and id of the key.

    Raises EchoError for a key that cannot be read, BundleError for what is no bundle.
    """
    from echo_edge.bundle.keys import key_id, read_private_key
    from echo_edge.bundle.signature import sign
    from echo_edge.files import save

    key = read_private_key(key_file)
    bundle = open_bundle(folder)
    sha256 = {name: spec.sha256 for name, spec in bundle.manifest.files.items()}
    signature = sign(bundle.manifest.name, sha256 | {"manifest.json": bundle.sha256}, key)
    save(signature.decode("ascii"), bundle.path / "SIGNATURE")
    return {"bundle": bundle.manifest.name, "key_id": key_id(key.public_key())}


def _sign(args: argparse.Namespace) -> int:
    record = sign_bundle(Path(args.bundle), args.key)
    if args.json:
        print(json.dumps(record))
    else:
        print(f"{record['bundle']}: SIGNATURE written, by key {record['key_id']}")
    return 0


def _install(args: argparse.Namespace) -> int:
    from echo_edge.deploy.install import install

    source = None if args.source == "-" else Path(args.source)
    outcome = install(source, args.root, _policy(args))
    return _report(outcome, "installed" if outcome.changed else "installed already", args)


def _rollback(args: argparse.Namespace) -> int:
    from echo_edge.deploy.install import rollback

    return _report(rollback(args.root, _policy(args)), "went back to", args)


def _report(outcome: "Outcome", done: str, args: argparse.Namespace) -> int:
    manifest, before = outcome.bundle.manifest, outcome.previous
    if outcome.closed is not None:
        print(
            f"echo-edge: {outcome.closed}: closed to other users, expected open: the user of a "
            f"service reads the bundle: chmod o+rx {outcome.closed}",
            file=sys.stderr,
        )
    if args.json:
        record = {
            "bundle": manifest.name,
            "build": manifest.build,
            "sha256": outcome.bundle.sha256,
            "signer": outcome.bundle.signer,
            "slot": outcome.slot,
            "changed": outcome.changed,
            "other_slot": {"bundle": before.name, "build": before.build} if before else None,
        }
        print(json.dumps(record))
        return 0
    signed = f"signed by {outcome.bundle.signer}" if outcome.bundle.signer else "not signed"
    other = f"; rollback leads to {before.name}, build {before.build}" if before else ""
    print(f"{done} {manifest.name}, build {manifest.build}, {signed}, slot {outcome.slot}{other}")
    return 0
