"""The terminal, to which text goes as it reads, whoever wrote it."""

from typing import Any

from rich.console import Console

from fashion_sweep.errors import shown


class Terminal(Console):
    """A terminal that takes no markup but where it is asked to, and no control characters.

    Captions, names of files, errors and what stands in another's run folder are printed here.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, **options})
        self._has_width = self.is_terminal or "width" in options

    def print(self, *objects: Any, **options: Any) -> None:
        if not self._has_width and all(isinstance(one, str) for one in objects):
            options.setdefault("soft_wrap", True)  # a file has no width
        super().print(*(shown(one) if isinstance(one, str) else one for one in objects), **options)
