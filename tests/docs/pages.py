"""README.md and the pages of docs/, and the commands that stand on them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.main import get_command

from fashion_sweep.cli.app import app

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
SITE = ROOT / "docs"
FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>[^\n]*)\n(?P<body>.*?)^```$", re.M | re.S
)
COMMAND = ["python", "-m", "fashion_sweep"]
LANGUAGES = {"sh", "yaml", "text", "{toctree}"}
MAKE_WHAT_OTHERS_USE = ("getting-started", "search-and-budgets", "one-garment")


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    language: str
    body: str
    reason: str | None
    """Why its commands are not run."""

    @property
    def commands(self) -> list[list[str]]:
        """The words of each."""
        lines = self.body.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]

    @property
    def environment(self) -> dict[str, str]:
        """What its `export` lines set."""
        return dict(words[1].split("=", 1) for words in self.commands if words[0] == "export")


def pages() -> list[Path]:
    """First those that make what commands on others use, the README last: it repeats what stands on the others."""
    site = sorted(SITE.glob("*.md"), key=lambda page: page.stem not in MAKE_WHAT_OTHERS_USE)
    order = [*(SITE / f"{name}.md" for name in MAKE_WHAT_OTHERS_USE), *site[len(MAKE_WHAT_OTHERS_USE) :]]
    return [*order, README]


def blocks(page: Path, language: str | None = None) -> list[Block]:
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    every = [Block(match["language"], match["body"], match["reason"]) for match in found]
    return [block for block in every if language in (None, block.language)]


def inline_code(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text(encoding="utf-8")))


def own_calls(words: list[str]) -> list[list[str]]:
    """What each `python -m fashion_sweep` in a command is given, also where a word of it is a command again."""
    if words[: len(COMMAND)] == COMMAND:
        return [words[len(COMMAND) :]]
    starts = [place for place in range(len(words)) if words[place : place + len(COMMAND)] == COMMAND]
    found = [words[place + len(COMMAND) :] for place in starts]
    inner = [shlex.split(word) for word in words if " ".join(COMMAND) in word]
    return found + [call for given in inner for call in own_calls(given)]


def parsed(call: list[str]) -> tuple[str, dict[str, Any]]:
    """The command that is called and its parameters, without running it."""
    command, names, rest = get_command(app), list[str](), list(call)
    while commands := getattr(command, "commands", None):
        names.append(rest.pop(0))
        command = commands[names[-1]]
    return " ".join(names), command.make_context(names[-1], rest).params


def options() -> set[str]:
    """Of all commands together."""
    found, open_ = set[str](), [get_command(app)]
    while open_:
        command = open_.pop()
        open_ += getattr(command, "commands", {}).values()
        found |= {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return found
