"""Finds the layers of a base model that the adapters of a trial are for. Imports no torch."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from fashion_sweep.config.model_part import EMBEDDINGS, ModelPart
from fashion_sweep.config.placed_adapter import PlacedAdapter
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.doors import ADAPTER_KINDS, ARCHITECTURES
from fashion_sweep.errors import ConfigError, did_you_mean

Targets = tuple[str, ...] | None
"""The names of layers to adapt; None: those that the architecture names."""


def placed_layers(
    spec: TrialSpec, layers: Mapping[str, Iterable[str]], targets: Targets = None
) -> dict[str, dict[str, PlacedAdapter]]:
    """Returns the adapter of each layer that carries one, by component and the layer's name.

    Args:
        spec: the trial.
        layers: the names of all layers of the model that can carry an adapter, by component.
        targets: the names of the layers to adapt, of those that a placement has. None: those that the architecture
            names; where a part, or one of those it is made of, has none of these, all of it.

    Raises:
        ConfigError: a placement has no such layers, a layer is given two adapters, or a component two kinds of them.
    """
    placed: dict[str, dict[str, PlacedAdapter]] = {component: {} for component in spec.components}
    for one in spec.adapters:
        for component in ARCHITECTURES[spec.architecture].placements[one.part.placement].components:
            others = placed[component]
            for layer in _layers_of(
                one.part, one.kind, component, tuple(layers[component]), spec.architecture, targets
            ):
                if layer in others:
                    raise ConfigError(f"{layer} of {component} is in {others[layer].placement} and in {one.placement}")
                others[layer] = one
    for component, adapters in placed.items():
        kinds = {one.kind: one.placement for one in adapters.values() if ADAPTER_KINDS[one.kind].targets is None}
        if len(kinds) > 1:
            named = " and ".join(f"{placement} a {kind}" for kind, placement in kinds.items())
            raise ConfigError(f"{component} takes adapters of one kind, and {named} are of two")
        for option in ADAPTER_KINDS[next(iter(kinds))].shared if kinds else ():
            if len({getattr(one.options, option) for one in adapters.values()}) > 1:
                raise ConfigError(f"{component} takes adapters with one {option}")
    return placed


@lru_cache(maxsize=1024)
def _layers_of(
    part: ModelPart, kind: str, component: str, layers: tuple[str, ...], architecture: str, targets: Targets
) -> tuple[str, ...]:
    own = ADAPTER_KINDS[kind].targets
    if own == EMBEDDINGS and not ARCHITECTURES[architecture].embedding_keys:
        raise ConfigError(
            f"{part.name}: no pipeline reads {ADAPTER_KINDS[kind].title} of a base model of {architecture}"
        )
    of_sweeps = {name: ARCHITECTURES[architecture].part_name(component, name) for name in layers}
    embeddings = {*_ending_in(layers, EMBEDDINGS)}
    if own is not None:
        found = tuple(name for name in _ending_in(layers, own) if part.has(of_sweeps[name]))
        if not found:
            raise ConfigError(f"{part.name}: has no {' or '.join(own)}, which {ADAPTER_KINDS[kind].title} are for")
        return found
    wanted: set[str] = set()
    for piece in part.pieces:
        inside = [name for name in layers if piece.has(of_sweeps[name]) and name not in embeddings]
        if not inside:
            raise ConfigError(
                f"{piece.name!r} is no part of this model{_nearest(piece, component, of_sweeps.values())}"
            )
        for last in piece.lasts:
            if not any(last.has(name) for name in of_sweeps.values()):
                raise ConfigError(f"{piece.name!r}: {component} has no {last.inside!r}")
        named = _ending_in(inside, targets or ARCHITECTURES[architecture].target_modules(component))
        wanted.update(named or (inside if piece.inside and not targets else ()))
    if wanted:
        return tuple(name for name in layers if name in wanted)
    where = f"{component} {part.inside}".rstrip()
    raise ConfigError(f"target_modules: {where} has no layer named {' or '.join(targets or ())}")


def _ending_in(layers: Iterable[str], targets: tuple[str, ...]) -> tuple[str, ...]:
    suffixes = tuple(f".{target}" for target in targets)
    return tuple(name for name in layers if f".{name}".endswith(suffixes))


def _nearest(part: ModelPart, component: str, layers: Iterable[str]) -> str:
    """Returns what was probably meant: each word that no layer's name has is replaced by one like it."""
    words = {word for name in layers for word in name.split(".") if not word.isdecimal()}
    for word in part.inside.split("."):
        if word[0].isalpha() and word not in words:
            return f"; {component} has no {word!r}{did_you_mean(word, words)}"
    return f"; {component} has no layers numbered so there"
