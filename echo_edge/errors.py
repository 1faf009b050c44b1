"""The errors a user can cause or meet; anything else is a bug and keeps its traceback.

    EchoError              exit 1   the work failed
    ├── AudioError         exit 1   audio that cannot be read, or is not audio
    ├── EngineError        exit 1   an engine that is absent, too old, or failed while running
    ├── OutputError        exit 1   a result that cannot be written
    ├── JsonError          exit 1   JSON of ours that is not what it should be
    ├── VoicesError        exit 1   known voices that cannot be read, or are another checkpoint's
    ├── UsageError         exit 2   an option that makes no sense
    └── BundleError        exit 3   a bundle that breaks its promises: verification refused

Every message is one line that says where, what was found, what was expected and what to do next.
"""


class EchoError(Exception):
    """Base of all errors with a message meant for the user; `exit_code` is the command line's."""

    exit_code = 1


class AudioError(EchoError):
    """Audio that cannot be read, is not audio, or holds values that are not finite."""


class EngineError(EchoError):
    """An engine that is not installed, is too old, or failed while running a graph."""


class OutputError(EchoError):
    """A result that cannot be written where it was asked for."""


class VoicesError(EchoError):
    """Known voices that cannot be read or written, or that another checkpoint learned."""


class JsonError(EchoError):
    """JSON of our own whose keys or values are not what they should be; `rule` is the rule's name
    in docs/reference/bundle.md."""

    def __init__(self, message: str, rule: str = "") -> None:
        super().__init__(message)
        self.rule = rule


class UsageError(EchoError):
    """An option or argument outside its range."""

    exit_code = 2


class BundleError(EchoError):
    """A bundle that breaks a rule of docs/reference/bundle.md; `rule` is the rule's name there."""

    exit_code = 3

    def __init__(self, message: str, rule: str = "") -> None:
        super().__init__(message)
        self.rule = rule
