"""Measures what each stage of a rehearsal takes: seconds, and memory at its peak. A stage that fails is named."""

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import psutil
import torch

from fashion_sweep.errors import RunError
from fashion_sweep.models.memory import give_back

SAMPLE_EVERY_S = 0.02
SAY_EVERY_S = 120.0
"""The seconds that a stage may go on before it is shown as still running."""
GIB = 2**30


class Work(StrEnum):
    """Names the stages; those that fill the cache are named by `caching`."""

    LOAD_BASE = "load base"
    LOAD_JUDGE = "load judge"
    REFERENCES = "reference statistics"
    TRAIN = "train and checkpoint"
    RESUME = "resume and save adapter"
    COMPARE = "compare resumed training"
    LOAD_PIPELINES = "load what draws pictures"
    JUDGE = "judge"
    GENERATE = "generate"
    FEATURES = "features"
    STATISTICS = "statistics"
    COUNT = "count parameters"
    EXPORT = "export"
    MIRROR = "MLflow"


def caching(kind: str) -> str:
    """Returns the name of the stage that makes this part of the cache."""
    return f"cache {kind}"


class StageFailed(RunError):
    """Names the stage that failed, and what went wrong in it."""


@dataclass
class StageCost:
    name: str
    trial: str | None
    """The title of the trial that the stage was done for; None for all trials."""
    started_rss: int
    """The bytes of the process when the stage began."""
    depth: int = 0
    """The number of other stages that this one is a part of."""
    samples: int = 1
    """The number of images, captions or rows that the stage worked on."""
    peak_rss: int = 0
    """The most bytes of the process during the stage, looked at every 20 ms."""
    peak_gpu: int = 0
    """The most bytes that torch held on the GPU; 0 without one."""
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    """The seconds that the stage took, or has taken so far."""
    going: bool = True
    done: bool = False


class Meter:
    """Measures stages, which may lie within each other; what an inner one takes counts for the outer one too."""

    def __init__(self, device: str, say: Callable[[StageCost], None], log: Path) -> None:
        self.stages: list[StageCost] = []
        self.trial: str | None = None
        self._device, self._say, self._log = torch.device(device), say, log
        self._open: list[StageCost] = []
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str, samples: int = 1) -> Iterator[None]:
        """Measures the block as a stage.

        Raises:
            StageFailed: the block failed; names the innermost stage that did. Its traceback goes to the log.
        """
        self._settle()
        give_back()
        stage = StageCost(str(name), self.trial, _rss(), depth=len(self._open), samples=samples)
        with self._lock:
            self.stages.append(stage)
            self._open.append(stage)
        try:
            yield
            self._settle()
            stage.done = True
        except Planned:
            stage.done = True
            raise
        except StageFailed:
            raise
        except Exception as error:
            self._write(traceback.format_exc())
            raise StageFailed(self._failure(stage.name, error)) from error
        finally:
            stage.seconds = time.monotonic() - stage.began
            self._look()
            with self._lock:
                self._open.remove(stage)
                stage.going = False
                self._say(stage)

    def seconds(self, name: str) -> float:
        """Returns the seconds of one sample of the last stage of that name, by when all that starts up is behind it."""
        stage = {stage.name: stage for stage in self.stages}[name]
        return stage.seconds / stage.samples

    def _failure(self, name: str, error: Exception) -> str:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        message = lines[0] if lines else ""
        of = f" of {self.trial}" if self.trial else ""
        return f"rehearsal: stage {name!r}{of} failed: {type(error).__name__}: {message} (traceback: {self._log})"

    def _write(self, text: str) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a", encoding="utf-8") as log:
            log.write(text)

    def _settle(self) -> None:
        """Adds the GPU's peak to the stages that are open, and starts a new one."""
        if self._device.type == "cuda":
            torch.cuda.synchronize()
            peak = torch.cuda.max_memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            for stage in self._open:
                stage.peak_gpu = max(stage.peak_gpu, peak)

    def _look(self) -> None:
        rss = _rss()
        with self._lock:
            for stage in self._open:
                stage.peak_rss = max(stage.peak_rss, rss)
            if self._open and time.monotonic() - self._open[-1].began > self._open[-1].seconds + SAY_EVERY_S:
                self._open[-1].seconds = time.monotonic() - self._open[-1].began
                self._say(self._open[-1])

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Looks at the process's memory as long as the block runs, and tells of a stage that takes long."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(SAMPLE_EVERY_S):
                self._look()

        thread = threading.Thread(target=watch, daemon=True, name="rehearsal-memory")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class Planned(Exception):
    """Cuts a stage short on purpose, as a killed worker would be."""


def _rss() -> int:
    return int(psutil.Process().memory_info().rss)
