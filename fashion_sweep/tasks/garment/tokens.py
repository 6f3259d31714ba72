"""Checks the words that a garment gets: rare ones, which mean nothing to the text encoders yet."""

from collections.abc import Mapping, Sequence
from typing import Any

from fashion_sweep.errors import ConfigError

LONGEST = 3
"""The most tokens of one word, so that a prompt has room for the rest."""
COMMON = 0.9
"""The share of a vocabulary, its most frequent entries first, of which a word must not be one. Byte-pair encoding
numbers its entries in the order in which they were merged, the most frequent pairs first."""


def check_rare(words: Sequence[str], tokenizers: Mapping[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Returns the tokens of each word in each tokenizer.

    Raises:
        ConfigError: a word is long, or one that the text encoders know.
    """
    tokens: dict[str, dict[str, list[str]]] = {}
    for word in words:
        if not word.isalnum() or word != word.lower():
            raise ConfigError(f"token {word!r}: write it in small letters and digits, for instance sks")
        tokens[word] = {name: _pieces(word, name, tokenizer) for name, tokenizer in tokenizers.items()}
    return tokens


def _pieces(word: str, name: str, tokenizer: Any) -> list[str]:
    pieces: list[str] = tokenizer.tokenize(word)
    if len(pieces) > LONGEST:
        raise ConfigError(f"token {word!r}: is {len(pieces)} tokens to {name}; take one of at most {LONGEST}")
    whole = tokenizer.convert_tokens_to_ids(pieces[0])
    if len(pieces) == 1 and whole < COMMON * tokenizer.vocab_size:
        raise ConfigError(f"token {word!r}: is a word that {name} knows well; take a rare one, for instance sks")
    return pieces
