"""Events while a trial is worked on: a worker tells an observer, and knows nothing of who listens."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any


class Observer:
    """An observer that is told what happens and does nothing with it; subclasses override what they care for."""

    @contextmanager
    def stage(self, name: str, **facts: Any) -> Iterator[None]:
        """Lasts from a stage's beginning to its end; stages may lie within each other.
        `load`, `train` and `judge` are those of a trial, and within them `draw` (`data_set`), `generate` (`first`,
        `images`), `features` (`images`)."""
        yield

    def update(self, **values: Any) -> None:
        """Is called as a sign of life, with what is done of the stage by now."""

    def step(self, values: Mapping[str, float]) -> None:
        """Is called after each optimizer step."""

    def report(self, values: Mapping[str, float]) -> None:
        """Is called after each validation, when its values are written down."""

    def loaded(self, name: str, loaded: Any) -> None:
        """Is called when `pipelines` (the model that draws) or `judge` (a list of networks) were loaded."""

    def note(self, text: str) -> None:
        """Is called with what a user should know of, though it stopped nothing."""


class Observers(Observer):
    """An observer that hands every event on to several others, in their order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = observers

    @contextmanager
    def stage(self, name: str, **facts: Any) -> Iterator[None]:
        with ExitStack() as stages:
            for observer in self.observers:
                stages.enter_context(observer.stage(name, **facts))
            yield

    def update(self, **values: Any) -> None:
        for observer in self.observers:
            observer.update(**values)

    def step(self, values: Mapping[str, float]) -> None:
        for observer in self.observers:
            observer.step(values)

    def report(self, values: Mapping[str, float]) -> None:
        for observer in self.observers:
            observer.report(values)

    def loaded(self, name: str, loaded: Any) -> None:
        for observer in self.observers:
            observer.loaded(name, loaded)

    def note(self, text: str) -> None:
        for observer in self.observers:
            observer.note(text)
