"""The tokens files of a bundle: what each output of the asr graph and of the second pass writes,
one per line."""

from echo_edge.bundle.manifest import Manifest
from echo_edge.errors import BundleError

MAX_TOKENS_BYTES = 1 << 20
WORD_START = "\u2581"
"""Stands for the space in the tokens of the second pass, as in other lists of subwords."""
_RENEW = "the file is damaged or was changed: copy or export the bundle again"


def read_tokens(text: bytes, manifest: Manifest) -> tuple[str, ...]:
    """The tokens in `text`, the bytes of the file; the space is " ".

    Raises BundleError for a file that breaks a rule, or has not one token for each output.
    """
    tokens = _parse(text, manifest.asr.tokens)
    _check_count(len(tokens), manifest)
    return tokens


def read_subwords(text: bytes, manifest: Manifest) -> tuple[str, ...]:
    """The tokens of the second pass in `text`, the bytes of their file: a word begins with " ", and
    what is not text is empty.

    Raises BundleError for a file that breaks a rule, or has not one token for each output.
    """
    spec = manifest.asr.second_pass
    if spec is None:
        return ()
    name = spec.subwords
    lines = _lines(text, name)
    shapes = {t.name: t.shape for t in manifest.graphs["asr_decoder"].outputs}
    shape = shapes.get("logprobs", ())
    n_outputs = shape[-1] if shape else len(lines)  # `graph_io` refuses another shape
    if len(lines) != n_outputs:
        raise BundleError(
            f"{name}: found {len(lines)} tokens, expected {n_outputs}, one for each output of the "
            f"asr_decoder graph: {_RENEW}",
            "tokens-count",
        )
    for number, line in enumerate(lines, 1):
        if not line.isprintable() or " " in line:
            raise BundleError(
                f"{name}: line {number}: found {line[:20]!r}, expected printable text without "
                f"blanks ({WORD_START!r} begins a word)",
                "tokens",
            )
    if not spec.prompt:
        raise BundleError(
            "manifest.json: asr.second_pass.prompt: found no token, expected one at least",
            "tokens-count",
        )
    for what, token in (("end", spec.end), *(("prompt", token) for token in spec.prompt)):
        if token >= n_outputs:
            raise BundleError(
                f"manifest.json: asr.second_pass.{what}: found {token}, expected a token, 0 to "
                f"{n_outputs - 1}",
                "tokens-count",
            )
    return tuple(line.replace(WORD_START, " ") for line in lines)


def _check_count(n_tokens: int, manifest: Manifest) -> None:
    for tensor in manifest.graphs["asr"].outputs:
        n_outputs = tensor.shape[-1] if tensor.shape else 1
        if tensor.name == "logprobs" and n_outputs != n_tokens:
            raise BundleError(
                f"{manifest.asr.tokens}: found {n_tokens} tokens, expected {n_outputs}, "
                f"one for each output of the asr graph: {_RENEW}",
                "tokens-count",
            )


def _lines(text: bytes, name: str) -> list[str]:
    if len(text) > MAX_TOKENS_BYTES:
        raise BundleError(f"{name}: found more than 1 MiB, expected a list of characters", "tokens")
    try:
        return text.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise BundleError(
            f"{name}: found bytes that are not UTF-8 ({error.reason}), expected text", "tokens"
        ) from error


def _parse(text: bytes, name: str) -> tuple[str, ...]:
    lines = _lines(text, name)
    if lines[0] != "<blank>":
        raise BundleError(f"{name}: line 1: found {lines[0][:20]!r}, expected '<blank>'", "tokens")
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.isprintable() or len(line.split()) != 1 or line.strip() != line:
            expected = "one token without blanks ('<space>' is the space)"
            raise BundleError(
                f"{name}: line {number}: found {line[:20]!r}, expected {expected}", "tokens"
            )
        if line in seen:
            raise BundleError(
                f"{name}: line {number}: found {line[:20]!r} again, expected it once", "tokens"
            )
        seen.add(line)
    return tuple(" " if line == "<space>" else line for line in lines)
