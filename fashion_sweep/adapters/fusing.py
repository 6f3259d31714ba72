"""Puts adapter files into a model's weights, and takes them out again bit for bit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from safetensors import safe_open
from torch import nn

from fashion_sweep.adapters.embedding_file import load_tokens
from fashion_sweep.adapters.formats import holds_tokens
from fashion_sweep.adapters.reading import load_layers, read_layers
from fashion_sweep.models.architecture import Architecture

TokenRow = Callable[[str, str], Sequence[int]]


def fuse(
    path: Path,
    architecture: Architecture,
    components: Mapping[str, nn.Module],
    strength: float = 1.0,
    tokens: TokenRow | None = None,
) -> Callable[[], None]:
    """Puts an adapter file into the weights of a model's components; the returned function takes it out again.

    Args:
        path: the file, as any trainer spells it.
        architecture: of the model.
        components: its modules that can carry an adapter.
        strength: 1 is the strength of training, 0 gives the base model.
        tokens: `Model.token_row`, which files of textual inversion need.

    Raises:
        ConfigError: the file does not fit the model; without the file's name.
    """
    with safe_open(path, "pt") as file:
        of_words = tokens is not None and holds_tokens(file.keys())
    if of_words:
        assert tokens
        loaded = load_tokens(path, architecture, components, tokens)
    else:
        loaded = load_layers(path, read_layers(path, architecture, components))
    with ExitStack() as undoing:
        for component, kind, layers in loaded:
            undoing.callback(kind.fuse(components[component], layers, strength))
        return undoing.pop_all().close


@contextmanager
def adapted(
    path: Path,
    architecture: Architecture,
    components: Mapping[str, nn.Module],
    strength: float = 1.0,
    tokens: TokenRow | None = None,
) -> Iterator[None]:
    """Keeps an adapter file in the weights while the block runs; see `fuse`."""
    undo = fuse(path, architecture, components, strength, tokens)
    try:
        yield
    finally:
        undo()
