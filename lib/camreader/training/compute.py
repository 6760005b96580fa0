"""Where networks are trained and explained: device, precision, processes, repeatable numbers.

Tested in tests/training/test_train.py, on runs that need what is set here.
"""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import distributed

from camreader.common.errors import DataError

PRECISIONS = ("auto", "float32", "bfloat16")


def device() -> torch.device:
    """Where networks are trained, asked and explained: a GPU if there is one, else the processor.

    On a GPU, float32 then means float32: TensorFloat-32 would round to 10 bits, and heat-maps
    would not be those of a processor.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined]  # its stubs lack it
    return torch.device("cuda")


def precision(device: torch.device, asked: str = "auto") -> str:
    """What training multiplies in: "float32" or "bfloat16", as `asked`.

    "auto": bfloat16 where the hardware multiplies it natively, a GPU or a processor with AVX-512
    BF16 or AMX; elsewhere it is emulated and slower. Asked of the hardware rather than timed, so
    that a machine always answers the same.
    """
    if asked not in PRECISIONS:
        raise DataError("Unknown PRECISION", found=asked, expected=", ".join(PRECISIONS))
    if asked != "auto":
        return asked
    known = torch.cpu.get_capabilities()
    native = known.get("avx512_bf16") or known.get("amx_bf16")
    return "bfloat16" if device.type == "cuda" or native else "float32"


def mixed_precision(device: torch.device, asked: str = "auto") -> AbstractContextManager[Any]:
    """Autocast to bfloat16 where `precision` says so; it needs no loss scaling."""
    if precision(device, asked) == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@contextmanager
def several_processes() -> Iterator[tuple[int, int]]:
    """Yield (rank, world): (0, 1), or this process's place among those that torchrun started."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield 0, 1
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield distributed.get_rank(), world
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


@contextmanager
def repeatable() -> Iterator[None]:
    """Only algorithms that give the same numbers twice, where PyTorch has them.

    Afterwards PyTorch's settings are what they were. Set by its debug mode, which does the same as
    `use_deterministic_algorithms` but does not load the compiler (1.7 s) to tell it so.
    """
    before = torch.get_deterministic_debug_mode()
    debugging: Any = torch.utils.deterministic  # its stubs lack the setting
    filled = debugging.fill_uninitialized_memory
    torch.set_deterministic_debug_mode("warn")
    debugging.fill_uninitialized_memory = False  # a debugging aid; slow
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        debugging.fill_uninitialized_memory = filled


def keep_buffers() -> None:
    """Tell glibc to keep freed buffers: returning them costs up to half of a CPU step.

    The same as MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ in the environment, for a
    process that was started without them. Nothing elsewhere than on Linux with glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 2**30)  # M_MMAP_THRESHOLD
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
