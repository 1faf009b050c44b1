"""The tokens file of a bundle: what each output of the asr graph writes, one per line."""

from echo_edge.bundle.manifest import Manifest
from echo_edge.errors import BundleError

MAX_TOKENS_BYTES = 1 << 20
_RENEW = "the file is damaged or was changed: copy or export the bundle again"


def read_tokens(text: bytes, manifest: Manifest) -> tuple[str, ...]:
    """The tokens in `text`, the bytes of the file; the space is " ".

    Raises BundleError for a file that breaks a rule, or has not one token for each output.
    """
    tokens = _parse(text, manifest.asr.tokens)
    _check_count(len(tokens), manifest)
    return tokens


def _check_count(n_tokens: int, manifest: Manifest) -> None:
    for tensor in manifest.graphs["asr"].outputs:
        n_outputs = tensor.shape[-1] if tensor.shape else 1
        if tensor.name == "logprobs" and n_outputs != n_tokens:
            raise BundleError(
                f"{manifest.asr.tokens}: found {n_tokens} tokens, expected {n_outputs}, "
                f"one for each output of the asr graph: {_RENEW}",
                "tokens-count",
            )


def _parse(text: bytes, name: str) -> tuple[str, ...]:
    if len(text) > MAX_TOKENS_BYTES:
        raise BundleError(f"{name}: found more than 1 MiB, expected a list of characters", "tokens")
    try:
        lines = text.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise BundleError(
            f"{name}: found bytes that are not UTF-8 ({error.reason}), expected text", "tokens"
        ) from error
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
