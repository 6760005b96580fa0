"""One network fitted to one set of slices: the epochs, their seeds, when to stop, what to keep.

Every epoch starts by seeding all random numbers from (seed, draw, epoch). A run that was killed
therefore goes on from its last checkpoint exactly as the unbroken run would have.

Plain PyTorch rather than a trainer library: mixed precision and several GPUs cost a few lines
(compute.py), and the loop stays readable from top to bottom.
"""

import copy
import time

import numpy as np
import pandas as pd
import torch
from torch import distributed, nn

from camreader.cohorts.splits import by_image
from camreader.common.text import counted
from camreader.training.compute import mixed_precision
from camreader.training.networks import build
from camreader.training.patches import Closeups
from camreader.training.steps import augmentation, batch_size, warm_cosine

WATCHED = {"train error": "test", "test accuracy": "test", "validation": "validation"}


class Fit:
    """A training under way: network, optimiser, history and the best weights so far.

    frame: slice_id, label and the plan's split column, n rows; images: float32 (n, 1, S, S);
    plan and settings: see plans.Plan and plans.Settings; rank of world: this process among
    those of torchrun; weights: a state dict to go on from, or None for a network drawn by seed.
    """

    def __init__(self, frame, images, plan, settings, seed, rank=0, world=1, weights=None):
        self.frame, self.images, self.plan, self.settings = frame, images, plan, settings
        self.seed, self.rank, self.world, self.weights = seed, rank, world, weights
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.labels = torch.tensor(frame["label"].to_numpy(), dtype=torch.float32)
        self.augment = augmentation() if plan.augment else nn.Identity()
        self.history, self.seconds = [], 0.0
        self.kept, self.best = {"score": -np.inf, "draw": 0, "epoch": 0}, None
        self.begin_draw(0)

    def begin_draw(self, draw):
        """A fresh network on draw number `draw` of the split; draw 0 is the cohort's own."""
        self.draw, self.epoch, self.stopped = draw, 0, ""
        self.split = self.split_of(draw)
        self.rows = np.flatnonzero(self.split == "train")
        self.batch = batch_size(len(self.rows), self.settings.batch_size, self.world)
        self.closeups = Closeups(self.frame, self.images, self.rows)
        begun = self.weights is not None and draw == 0
        self.to_close_up = self.settings.closeups if self.closeups.found and not begun else 0
        self.seed_epoch()
        self.network = build(
            self.settings.architecture, self.images.shape[-1], dropout=self.settings.dropout
        )
        if begun:
            self.network.load_state_dict(self.weights)
        self.network.to(self.device)
        self.stepper = self.network
        if self.world > 1:  # several processes: gradients are averaged over them
            self.stepper = nn.parallel.DistributedDataParallel(self.network)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), weight_decay=self.settings.weight_decay
        )

    def split_of(self, draw):
        """Part of every slice, an array (n,), on draw number `draw`."""
        if draw == 0:
            return self.frame[self.plan.split].to_numpy(object)
        return by_image(len(self.frame), seed=1000 * self.seed + draw)

    def seed_epoch(self):
        """Seed dropout and augmentation; return the generator of the epoch's order."""
        where = (self.seed, self.draw, self.epoch, self.to_close_up)
        torch.manual_seed(int(np.random.SeedSequence((*where, self.rank)).generate_state(1)[0]))
        return np.random.default_rng(where)

    def learning_rate(self, progress):
        """The rate on whole slices: lower where something was learned before; progress in 0..1.

        It stays where the end is not planned: until a training error is reached.
        """
        knows = self.weights is not None or (self.closeups.found and self.settings.closeups)
        peak = self.settings.slices_rate if knows else self.settings.learning_rate
        return peak if self.plan.stop == "train error" else peak * warm_cosine(progress)

    def run_epoch(self, bar):
        """Train on every training slice once, look at the watched part, decide what comes next."""
        began = time.perf_counter()
        if self.to_close_up:
            self.history.append(self.agree_on(self.close_up_epoch(bar)))
            self.seconds += time.perf_counter() - began
            return
        row = {"draw": self.draw, "stage": "slices", "epoch": self.epoch + 1}
        row |= self.train_epoch(bar) | self.watch()
        self.seconds += time.perf_counter() - began
        self.history.append(self.agree_on(row))
        self.epoch += 1
        self.keep_if_best(self.history[-1])
        self.stopped = self.reason_to_stop(self.history[-1])
        reached = self.stopped.startswith("reached")
        redraw = self.plan.stop == "test accuracy" and self.draw + 1 < self.settings.resamples
        if self.stopped and not reached and redraw:
            self.begin_draw(self.draw + 1)

    def close_up_epoch(self, bar):
        """Train on one drawing of close-ups; after the last, make the answer fit whole slices.

        All processes of a run do the same steps here, so there is nothing to average.
        """
        planned = self.settings.closeups
        rng = np.random.default_rng((self.seed, self.draw, self.to_close_up))
        torch.manual_seed(int(rng.integers(2**31)))
        images, labels = self.closeups.draw(rng)
        small = build(self.settings.architecture, images.shape[-1], dropout=self.settings.dropout)
        self.small = small.to(self.device).train()
        steps, totals = max(1, len(images) // self.batch), np.zeros(4)
        for step in range(steps):
            part = slice(step * self.batch, (step + 1) * self.batch)
            done = (planned - self.to_close_up + (step + 1) / steps) / planned
            rate = self.settings.learning_rate * warm_cosine(done)
            self.optimizer.param_groups[0]["lr"] = rate
            pieces = images[part].to(self.device).contiguous(memory_format=torch.channels_last)
            totals += self.learn(pieces, labels[part].to(self.device), self.on_close_ups)
        bar.update(self.closeups.slices)
        loss, wrong, norm, seen = totals
        self.to_close_up -= 1
        if not self.to_close_up:
            self.balance()
        row = {"draw": self.draw, "stage": "close-ups", "epoch": planned - self.to_close_up}
        return row | {
            "train_loss": loss / seen,
            "train_error": wrong / seen,
            "gradient": norm / seen,
        }

    def on_close_ups(self, pieces):
        """The network's logits of close-ups: the same weights in a network of their size."""
        values = dict(self.network.named_parameters()) | dict(self.network.named_buffers())
        return torch.func.functional_call(self.small, values, (pieces,))

    def balance(self, most=256):
        """Move the last bias so that as many training slices are called tumor as there are.

        The strongest of many places is stronger than that of a close-up's few.
        """
        rows = self.rows[:: max(1, len(self.rows) // most)]
        logits = predict(self.network, self.images, rows)
        last = [m for m in self.network.modules() if isinstance(m, nn.Linear)][-1]
        with torch.no_grad():
            last.bias -= torch.quantile(logits, 1 - self.labels[rows].mean()).to(self.device)

    def train_epoch(self, bar):
        """One pass over the training slices: mean loss, error and gradient norm."""
        order = self.rows[self.seed_epoch().permutation(len(self.rows))]
        self.stepper.train()
        steps = len(order) // self.batch
        totals = np.zeros(4)
        for step in range(steps):
            rows = order[step * self.batch : (step + 1) * self.batch][self.rank :: self.world]
            rate = self.learning_rate((self.epoch + (step + 1) / steps) / self.settings.epochs)
            self.optimizer.param_groups[0]["lr"] = rate
            totals += self.train_step(torch.as_tensor(rows))
            bar.update(self.batch)
        loss, wrong, norm, seen = self.sum_over_processes(totals)
        return {"train_loss": loss / seen, "train_error": wrong / seen, "gradient": norm / seen}

    def train_step(self, rows):
        """One step on the slices at `rows`; returns sums of loss, errors, gradient norm, count."""
        images = self.augment(self.images[rows].to(self.device))
        images = images.contiguous(memory_format=torch.channels_last)
        return self.learn(images, self.labels[rows].to(self.device))

    def learn(self, images, labels, forward=None):
        """One step on images (n, 1, S, S) and labels (n,) that lie on the device."""
        with mixed_precision(self.device):
            logits = (forward or self.stepper)(images)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        if not torch.isfinite(loss) or not torch.isfinite(norm):
            raise FloatingPointError(
                f"Loss {loss.item()} or gradient {norm.item()} is not finite in epoch "
                f"{self.epoch + 1}: lower the learning rate ({self.settings.learning_rate})"
            )
        self.optimizer.step()
        wrong = ((logits.detach() > 0) != (labels > 0)).sum()
        n = len(labels)
        return np.array([loss.item() * n, wrong.item(), norm.item() * n, n])

    def watch(self):
        """Loss and accuracy on the part that decides when to stop (none: the test stays unseen)."""
        part = WATCHED.get(self.plan.stop)
        rows = np.flatnonzero(self.split == part)
        if len(rows) == 0:
            return {}
        logits, labels = predict(self.network, self.images, rows), self.labels[rows]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels).item()
        accuracy = ((logits > 0) == (labels > 0)).double().mean().item()
        return {"watched": part, "watched_loss": loss, "watched_accuracy": accuracy}

    def keep_if_best(self, row):
        """Keep the weights: of the best watched epoch, or of the last where none is sought."""
        score = {
            "validation": -row.get("watched_loss", 0),
            "test accuracy": row.get("watched_accuracy"),
        }.get(self.plan.stop, len(self.history))
        if score > self.kept["score"]:
            self.kept = {"score": score, "draw": self.draw, "epoch": self.epoch}
            self.best = copy.deepcopy(self.network.state_dict())

    def reason_to_stop(self, row):
        """Why this draw ends after this epoch, in words, or an empty text."""
        settings, stop = self.settings, self.plan.stop
        if stop == "train error" and row["train_error"] <= settings.target_error:
            return f"reached a training error of {row['train_error']:.1%}"
        if stop == "test accuracy" and row["watched_accuracy"] >= settings.target_accuracy:
            return f"reached {row['watched_accuracy']:.2%} on the test set"
        if stop == "validation" and self.epoch - self.kept["epoch"] >= settings.patience:
            return f"no better validation loss in {counted(settings.patience, 'epoch')}"
        return "planned end" if self.epoch >= settings.epochs else ""

    def agree_on(self, row):
        """Process 0's numbers, so that all processes stop together."""
        box = [row]
        if self.world > 1:
            distributed.broadcast_object_list(box)
        return box[0]

    def sum_over_processes(self, totals):
        """Sums over all processes of an array of sums."""
        if self.world == 1:
            return totals
        together = torch.tensor(totals, dtype=torch.float32, device=self.device)
        distributed.all_reduce(together)
        return together.double().cpu().numpy()

    def checkpoint(self):
        """(tensors, facts): all that `resume` needs."""
        tensors = {f"model.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in (self.best or {}).items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{k}": v for k, v in values.items()}
        facts = ("draw", "epoch", "to_close_up", "stopped", "history", "kept", "seconds")
        return tensors, {name: getattr(self, name) for name in facts}

    def resume(self, tensors, facts):
        """Go on from what `checkpoint` returned."""
        self.begin_draw(facts["draw"])
        for name in ("epoch", "to_close_up", "stopped", "history", "kept", "seconds"):
            setattr(self, name, facts[name])
        parts = {"model": {}, "best": {}, "optimizer": {}}
        for name, value in tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = value
        self.network.load_state_dict(parts["model"])
        best = {k: v.to(self.device) for k, v in parts["best"].items()}
        self.best = best or None
        state = self.optimizer.state_dict()
        for name, value in parts["optimizer"].items():
            number, key = name.split(".", 1)
            state["state"].setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict(state)

    def predictions(self):
        """slice_id, split, logit, probability and predicted of every slice, by the kept weights."""
        self.network.load_state_dict(self.best)
        logits = predict(self.network, self.images).double().numpy()
        return pd.DataFrame(
            {
                "slice_id": self.frame["slice_id"],
                "split": self.split_of(self.kept["draw"]),
                "logit": logits,
                "probability": 1 / (1 + np.exp(-logits)),
                "predicted": (logits > 0).astype(int),
            }
        )


@torch.no_grad()
def predict(network, images, rows=None, batch=64):
    """Logits (n,) on the CPU of images (N, 1, S, S) at `rows` (default all), without dropout."""
    network.eval()
    device = next(network.parameters()).device
    rows = torch.arange(len(images)) if rows is None else torch.as_tensor(rows)
    parts = [
        network(images[part].to(device).contiguous(memory_format=torch.channels_last)).cpu()
        for part in rows.split(batch)
    ]
    return torch.cat(parts) if parts else torch.zeros(0)
