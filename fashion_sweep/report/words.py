"""Lists, counts and values in words, and what stands for a gap."""

from collections.abc import Mapping, Sequence
from typing import Any

GAP = "–"
"""The text that stands for what is not known."""
MOST_NAMED = 4
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def joined(parts: Sequence[str]) -> str:
    """Joins parts as in `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def listed(names: Sequence[str]) -> str:
    """Lists configurations in words; of more than `MOST_NAMED` only their number."""
    return f"{len(names)} configurations" if len(names) > MOST_NAMED else joined(names)


def number_word(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def in_all(count: int) -> str:
    """Returns ` in both` for two metrics, ` in all three` for three; nothing for one."""
    return {1: "", 2: " in both"}.get(count, f" in all {number_word(count)}")


def in_words(values: Mapping[str, Any]) -> str:
    """Formats values for a line of the log."""
    return ", ".join(f"{name} {format(v, '.6g') if isinstance(v, float) else v}" for name, v in values.items())
