"""Where a training runs: precision, several processes, repeatable numbers, memory."""

import ctypes
import os
import platform
from contextlib import contextmanager, nullcontext

import torch
from torch import distributed


def mixed_precision(device):
    """bfloat16 where a GPU makes it faster; it needs no loss scaling."""
    cuda = device.type == "cuda"
    return torch.autocast("cuda", dtype=torch.bfloat16) if cuda else nullcontext()


@contextmanager
def several_processes():
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
def repeatable():
    """Only algorithms that give the same numbers twice, where PyTorch has them.

    Afterwards PyTorch's settings are what they were.
    """
    strict = torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid; slow
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=lenient)
        torch.utils.deterministic.fill_uninitialized_memory = filled


def keep_buffers():
    """Tell glibc to keep freed buffers: returning them costs up to half of a CPU step.

    The same as MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ in the environment, for a
    process that was started without them. Nothing elsewhere than on Linux with glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 2**30)  # M_MMAP_THRESHOLD
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
