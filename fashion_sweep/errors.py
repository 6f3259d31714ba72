"""The errors a user can cause or meet. Each is one clear line; `cli` turns it into an exit code."""

import difflib
import re
from collections.abc import Iterable

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that steer a terminal, reverse the order of text or are invalid; tab and newline are not among them."""

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""Colours and other sequences for terminals, which libraries leave in logs."""

CREDENTIALS = re.compile(
    r"://[^@\s:/]*:(?!\d+(/|$))[^@\s]*@|https?://[^@\s/]+@|://\S*[?&][\w-]*(signature|sig|token|secret|password|passwd|pwd|key)=",
    re.IGNORECASE,
)
"""Credentials in a URL: a password, over HTTP also a token in its place, or a signature that does for one."""


class FashionSweepError(Exception):
    """Root of all errors that are shown as one line instead of a traceback."""

    exit_code = 2


class ConfigError(FashionSweepError):
    """A sweep, preset, key or value that does not fit; the message names the key, the value and what would be right."""


class DataError(FashionSweepError):
    """Input data that cannot be used; the message names the file or folder."""


class RunError(FashionSweepError):
    """A run folder that cannot be used now (in use by another process, belongs to another configuration)."""


class StorageError(RunError):
    """Object storage that has not answered for minutes."""


class Interrupted(FashionSweepError):
    """An interruption by Ctrl-C; the message says how to go on."""

    exit_code = 130


class TrialError(FashionSweepError):
    """A trial that failed while training or judging; the rest of the sweep goes on."""

    exit_code = 3


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns `; did you mean 'x'?` for the nearest known name, or the list of all of them."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]!r}?" if nearest else f"; known: {', '.join(names)}"


def first_line(error: Exception) -> str:
    """Returns the first line of a library's message, which may be long."""
    return str(error).strip().split("\n")[0][:300]


def shown(text: str) -> str:
    """Returns the text with control characters written out, so that its author cannot steer the reader's terminal."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
