"""Learned words in captions and prompts. Imports no torch."""

import re


def set_apart(text: str, word: str) -> str:
    """Puts blanks around a word wherever a text has it: a tokenizer makes one token of `>,`."""
    return _pattern(word).sub(lambda _: f" {word} ", text)


def begun_with(prefix: str, text: str) -> str:
    """Returns a text with those words of the prefix before it that it has nowhere."""
    missing = [word for word in prefix.split() if not _pattern(word).search(text)]
    return " ".join([*missing, text])


def _pattern(word: str) -> re.Pattern[str]:
    """Returns what finds a word that is no part of another one."""
    left, right = (r"(?<!\w)" if word[0].isalnum() else ""), (r"(?!\w)" if word[-1].isalnum() else "")
    return re.compile(f"{left}{re.escape(word)}{right}")
