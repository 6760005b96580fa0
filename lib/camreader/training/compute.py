"""Where a training runs: precision, several processes, repeatable numbers, memory.

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


def precision(device: torch.device) -> str:
    """ "bfloat16" where the hardware multiplies it natively, else "float32".

    A GPU, or a processor with AVX-512 BF16 or AMX; elsewhere bfloat16 is emulated and slower. Asked
    of the hardware rather than timed, so that a machine always answers the same.
    """
    known = torch.cpu.get_capabilities()
    native = known.get("avx512_bf16") or known.get("amx_bf16")
    return "bfloat16" if device.type == "cuda" or native else "float32"


def mixed_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 where it is native (`precision`); it needs no loss scaling."""
    if precision(device) == "float32":
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

    Afterwards PyTorch's settings are what they were.
    """
    strict = torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    debugging: Any = torch.utils.deterministic  # its stubs lack the setting
    filled = debugging.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    debugging.fill_uninitialized_memory = False  # a debugging aid; slow
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=lenient)
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
