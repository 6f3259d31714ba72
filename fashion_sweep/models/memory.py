"""Repeats work in halves when a device is out of memory."""

import ctypes
import gc
from collections.abc import Callable
from contextlib import suppress

import torch
from accelerate.utils.memory import should_reduce_batch_size


def is_out_of_memory(error: Exception) -> bool:
    """Tells whether the error means that a CUDA device, or the CPU's allocator, is out of memory."""
    return isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)


def release_memory() -> None:
    """Frees the memory of a failed attempt; called once its exception, which holds its tensors, is gone."""
    gc.collect()
    torch.cuda.empty_cache()


def give_back() -> None:
    """Returns freed memory of the process to the system, where the C library would keep it."""
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc alone keeps it, and has this
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def as_much_as_fits(work: Callable[[int], None], size: int, announce: Callable[[int], None]) -> int:
    """Calls `work(size)` with ever smaller halves of `size` until one fits, and returns that.

    `work` starts from the beginning each time; `announce` gets every smaller size before it is tried.

    Raises:
        RuntimeError: out of memory even with a size of 1.
    """
    while True:
        try:
            work(size)
        except RuntimeError as error:
            if size == 1 or not is_out_of_memory(error):
                raise
        else:
            return size
        release_memory()
        size //= 2
        announce(size)
