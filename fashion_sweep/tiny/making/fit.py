"""Trains all networks in one loop: AdamW, an average of the weights, checkpoints to go on from."""

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from fashion_sweep.storage.files import write_text

Model = TypeVar("Model", bound=torch.nn.Module)
Loss = Callable[[np.random.Generator], torch.Tensor]
"""The type of a function from the draws of one step to its loss. All draws come from that generator, so that a resumed
run repeats them."""


@dataclass(frozen=True)
class Recipe:
    name: str
    steps: int
    learning_rate: float
    decay: float = 0.999
    """The decay per step of the average of the weights."""
    weight_decay: float = 1e-2
    warm_up: int = 200
    cool_down: float = 0.25
    """The share of the steps, at the end, over which the learning rate falls to zero."""
    seed: int = 0

    def rate(self, step: int) -> float:
        falling = max(1, round(self.cool_down * self.steps))
        return self.learning_rate * min(1.0, (step + 1) / self.warm_up, (self.steps - step) / falling)


def fit(
    recipe: Recipe,
    model: torch.nn.Module,
    loss: Loss,
    work: Path,
    checkpoint_seconds: float = 90,
) -> torch.nn.Module:
    """Trains `model` in place from its last checkpoint on and returns the averaged model."""
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(_groups(model), betas=(0.9, 0.99), weight_decay=recipe.weight_decay)
    path = work / f"{recipe.name}.pt"
    step = _restore(path, recipe, model, average, optimizer)
    _forget_after(step, work / f"{recipe.name}.jsonl")
    saved = time.monotonic()
    losses: list[float] = []
    while step < recipe.steps:
        losses.append(_step(recipe, step, model, average, optimizer, loss))
        step += 1
        if step % 50 == 0:
            _report(recipe, step, losses, work)
            losses = []
        if time.monotonic() - saved > checkpoint_seconds or step == recipe.steps:
            _save(path, recipe, step, model, average, optimizer)
            saved = time.monotonic()
    return average.eval()


def _groups(model: torch.nn.Module) -> list[dict[str, Any]]:
    """Returns the parts of a model with their shares of the learning rate: its own `shares`, else 1 for all."""
    shares: dict[str, float] = getattr(model, "shares", {})
    parts: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        parts.setdefault(shares.get(name.split(".")[0], 1.0), []).append(parameter)
    return [{"params": parameters, "share": share} for share, parameters in parts.items()]


def _step(
    recipe: Recipe,
    step: int,
    model: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate(step) * group["share"]
    value = loss(np.random.default_rng([recipe.seed, step]))
    assert torch.isfinite(value), f"{recipe.name}: loss {value} at step {step}"
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    keep = min(recipe.decay, (step + 1) / (step + 10))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - keep)
    return value.item()


def trained(recipe: Recipe, model: Model, work: Path, unfinished: bool = False) -> Model:
    """Returns `model` with the averaged weights of the last checkpoint, frozen.

    unfinished: take what there is, be it random weights, for a look before the end.

    Raises:
        SystemExit: its training has not ended.
    """
    path = work / f"{recipe.name}.pt"
    state: dict[str, Any] = torch.load(path, weights_only=True) if path.exists() else {"step": 0}
    if state["step"] < recipe.steps and not unfinished:
        raise SystemExit(f"{recipe.name} has {state['step']} of {recipe.steps} steps; its stage comes first")
    if "average" in state:
        model.load_state_dict(state["average"])
    return model.eval().requires_grad_(False)


def normal(rng: np.random.Generator, shape: torch.Size | tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))


def _report(recipe: Recipe, step: int, losses: list[float], work: Path) -> None:
    entry = {"step": step, "loss": round(float(np.mean(losses)), 5), "time": round(time.time())}
    with (work / f"{recipe.name}.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")
    print(f"{recipe.name} {step}/{recipe.steps} loss {entry['loss']}", flush=True)


def _save(
    path: Path,
    recipe: Recipe,
    step: int,
    model: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    state = {
        "recipe": asdict(recipe),
        "step": step,
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    temporary = path.with_suffix(".new")
    torch.save(state, temporary)
    temporary.rename(path)


def _forget_after(step: int, log: Path) -> None:
    """Drops what was logged of steps that are made again."""
    if log.exists():
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        write_text(log, "".join(line for line in lines if json.loads(line)["step"] <= step))


def _restore(
    path: Path, recipe: Recipe, model: torch.nn.Module, average: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state.get("recipe", asdict(recipe)) != asdict(recipe):
        raise SystemExit(f"{path} is of another recipe; remove it")
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
