"""A draw of the paper's final run, trained beside the one before on a core that is free.

Draws follow one another because each is made only where the one before missed the target. Where the
first missed it, the second will probably do so too, and on a small cohort nothing else is left to
train by then: so the third begins with the second, in a process of its own. What comes out is what
draws one after the other give; if the second reaches the target, the third is thrown away.
"""

import multiprocessing
import os
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Self

import safetensors.torch
import torch
from tqdm import tqdm

from camreader.common import machine
from camreader.training.compute import keep_buffers, repeatable
from camreader.training.experiments import Until
from camreader.training.trainer import Fit


class Ahead:
    """A training's next draw under way in a process of its own; to be used in a with-statement."""

    process: SpawnProcess | None = None

    def __init__(self, fit: Fit) -> None:
        self.fit, self.draw = fit, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.join()

    def begin(self) -> None:
        """Start the next draw where it will probably be asked for and a core is left for it."""
        fit = self.fit
        if self.process is not None or not 1 <= fit.draw < fit.settings.resamples - 1:
            return
        alone = fit.world == 1 and fit.device.type == "cpu" and machine.cpus() > 1
        if fit.plan.stop is not Until.TEST_ACCURACY or fit.settings.own.own or not alone:
            return
        self.draw = fit.draw + 1
        context = multiprocessing.get_context("spawn")  # a fork would share PyTorch's threads
        self.results, theirs = context.Pipe(duplex=False)
        # an array: tensors would go through shared memory, of which containers have little
        what = (fit.frame, fit.images.numpy(), fit.plan, fit.settings, fit.seed, self.draw)
        process = context.Process(
            target=_train, args=(what, torch.get_num_threads(), theirs, os.getpid()), daemon=True
        )
        process.start()
        self.process = process
        theirs.close()

    def take(self, bar: tqdm) -> bool:
        """Where the training has come to the draw that was begun ahead, wait for it and go on after
        it; returns whether it did. A process that ended without a result is no loss: the draw is
        then trained here.
        """
        fit = self.fit
        if self.process is None or fit.draw != self.draw or fit.epoch or fit.ended:
            return False
        found = self._wait(bar)
        self.process.join()
        self.process = None
        if found is None:
            return False
        before, seconds = fit.history, fit.seconds
        fit.resume(safetensors.torch.load(found[0]), found[1])
        fit.history, fit.seconds = [*before, *fit.history], seconds + fit.seconds
        return True

    def _wait(self, bar: tqdm) -> tuple[bytes, dict[str, Any]] | None:
        """(tensors, facts) of the draw, whose progress the bar shows; None where it was lost."""
        with suppress(EOFError):
            while isinstance(message := self.results.recv(), int):
                bar.n = message
                bar.refresh()
            return message
        return None


def _train(what: tuple, threads: int, results: Connection, parent: int) -> None:
    """One draw from its beginning to its end, in the process of its own."""
    frame, images, plan, settings, seed, draw = what
    keep_buffers()
    torch.set_num_threads(threads)
    with repeatable():
        fit = Fit(frame, torch.from_numpy(images), plan, settings, seed)
        fit.begin_draw(draw)
        while fit.ended is None and fit.draw == draw:
            if os.getppid() != parent:  # it was killed, and nobody waits any more
                return
            fit.run_epoch(tqdm(disable=True))
            results.send(fit.epoch * fit.steps * fit.batch)
        tensors, facts = fit.checkpoint()
        packed = {name: value.contiguous() for name, value in tensors.items()}
        results.send((safetensors.torch.save(packed), facts))
