"""One network fitted to one set of slices: the epochs, their seeds, when to stop, what to keep.

Every epoch starts by seeding all random numbers from (seed, draw, epoch). A run that was killed
therefore goes on from its last checkpoint exactly as the unbroken run would have.

Plain PyTorch rather than a trainer library: mixed precision and several GPUs cost a few lines
(compute.py), and the loop stays readable from top to bottom.

Tested in tests/training/test_train.py, since a fit is seen whole only in a run.
"""

import copy
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import distributed, nn
from tqdm import tqdm

from camreader.cohorts.splits import by_image
from camreader.training.compute import device, mixed_precision
from camreader.training.experiments import Ended, Plan, Settings, Until
from camreader.training.folding import folded
from camreader.training.networks import build
from camreader.training.outputs import log_odds
from camreader.training.own_networks import ready
from camreader.training.places import WithPlaces, inside_boxes, place_loss, places_known
from camreader.training.steps import augment, batch_size, planned_epochs, warm_cosine

WATCHED = {Until.VALIDATION: "validation", Until.EPOCHS: ""}  # the others: the test set
FAR = 2  # a training error of so many times the target is far from it
FALLING = 0.98  # a loss falls where its mean is below this share of the mean before
SELDOM = 5  # epochs from one look at the test set to the next
RECENT = 5  # "its mean": over the last fifth of the planned epochs
REDRAW = 20_220_802  # so that no redrawn split is that of a cohort made with a small seed
FACTS = ("draw", "epoch", "planned", "cycle", "extended", "history", "kept", "seconds")


class Fit:
    """A training under way: network, optimiser, history and the weights to keep.

    frame: slice_id, label, boxes and the plan's split column, n rows; images: float32 (n, 1, S, S);
    plan and settings: see plans.Plan and plans.Settings; rank of world: this process among
    those of torchrun; weights: a state dict to go on from, or None for a network drawn by seed.
    """

    history: list[dict[str, Any]]
    ended: Ended | None
    kept: dict[str, Any]  # score, draw and epoch of the best weights
    best: Any  # these weights by name; None before the first epoch

    def __init__(
        self,
        frame: pd.DataFrame,
        images: torch.Tensor,
        plan: Plan,
        settings: Settings,
        seed: int,
        rank: int = 0,
        world: int = 1,
        weights: dict | None = None,
    ) -> None:
        self.frame, self.images, self.plan, self.settings = frame, images, plan, settings
        self.seed, self.rank, self.world, self.weights = seed, rank, world, weights
        self.device = device()
        self.labels = torch.tensor(frame["label"].to_numpy(), dtype=torch.float32)
        with_boxes = bool(settings.boxes) and not settings.own.own
        self.inside = inside_boxes(frame, images.shape[-1]) if with_boxes else None
        if self.inside is not None:
            self.known = places_known(frame)
        self.history, self.seconds = [], 0.0
        self.begin_draw(0)

    def begin_draw(self, draw: int) -> None:
        """A fresh network on draw number `draw` of the split; draw 0 is the cohort's own."""
        settings, self.draw, self.epoch, self.ended = self.settings, draw, 0, None
        self.split = self.split_of(draw)
        self.rows = np.flatnonzero(self.split == "train")
        self.batch = batch_size(len(self.rows), settings.batch_size, self.world)
        self.steps = len(self.rows) // self.batch
        self.planned = planned_epochs(
            self.steps, settings.epochs, settings.least_steps, settings.most_steps
        )
        self.cycle, self.extended = [0, self.planned], 0  # first and last epoch of the schedule
        self.kept, self.best = {"score": -np.inf, "draw": draw, "epoch": 0}, None
        self.seed_epoch()
        size = self.images.shape[-1]
        if settings.own.own:
            self.network: nn.Module = ready(settings.own, size, self.images)
        else:
            self.network = build(settings.architecture, size, dropout=settings.dropout)
        if self.weights is not None and draw == 0:
            self.network.load_state_dict(self.weights)
        self.network.to(self.device)
        self.trained = self.network
        if self.inside is not None:
            first = self.images[:1].to(self.device)
            self.trained = WithPlaces(self.network, first).to(self.device)
        self.stepper = self.trained
        if self.world > 1:  # several processes: gradients are averaged over them
            self.stepper = nn.parallel.DistributedDataParallel(self.trained)
        self.optimizer = torch.optim.AdamW(
            self.trained.parameters(), weight_decay=settings.weight_decay
        )

    def split_of(self, draw: int) -> np.ndarray:
        """Part of every slice, an array (n,), on draw number `draw`.

        A redrawn test set is as large as the cohort's own, and copies stay on one side of it.
        """
        own = self.frame[self.plan.split].to_numpy(object)
        if draw == 0:
            return own
        copies = self.frame.get("duplicate_group")
        return by_image(len(own), (own == "test").mean(), (REDRAW, self.seed, draw), copies)

    def seed_epoch(self) -> np.random.Generator:
        """Seed dropout; return the generator of the epoch's order and of this process' images."""
        where = (self.seed, self.draw, self.epoch)
        torch.manual_seed(int(np.random.SeedSequence((*where, self.rank)).generate_state(1)[0]))
        self.rng = np.random.default_rng((*where, 1 + self.rank))  # of the augmentation
        return np.random.default_rng(where)

    def learning_rate(self, steps_done: float) -> float:
        """The rate after so many epochs of the present draw: a warm cosine over its schedule."""
        first, last = self.cycle
        return self.settings.learning_rate * warm_cosine((steps_done - first) / (last - first))

    def run_epoch(self, bar: tqdm) -> None:
        """Train on every training slice once, look at the watched part, decide what comes next."""
        began = time.perf_counter()
        row = {"draw": self.draw, "epoch": self.epoch + 1}
        row |= self.train_epoch(bar)
        row |= self.watch() if self.to_watch(row) else {}
        self.seconds += time.perf_counter() - began
        self.history.append(self.agree_on(row))
        self.epoch += 1
        self.keep(self.history[-1])
        self.ended = self.reason_to_stop(self.history[-1])
        again = self.plan.stop is Until.TEST_ACCURACY and self.draw + 1 < self.settings.resamples
        if self.ended is Ended.BUDGET and again:
            self.begin_draw(self.draw + 1)

    def train_epoch(self, bar: tqdm) -> dict:
        """One pass over the training slices: mean loss, error and gradient norm."""
        order = self.rows[self.seed_epoch().permutation(len(self.rows))]
        self.stepper.train()
        totals = np.zeros(4)
        for step in range(self.steps):
            rows = order[step * self.batch : (step + 1) * self.batch][self.rank :: self.world]
            rate = self.learning_rate(self.epoch + (step + 1) / self.steps)
            self.optimizer.param_groups[0]["lr"] = rate
            totals += self.train_step(torch.as_tensor(rows))
            bar.update(self.batch)
        loss, wrong, norm, seen = self.sum_over_processes(totals)
        return {"train_loss": loss / seen, "train_error": wrong / seen, "gradient": norm / seen}

    def train_step(self, rows: torch.Tensor) -> np.ndarray:
        """One step on the slices at `rows`; returns sums of loss, errors, gradient norm, count."""
        images = self.images[rows]
        if self.inside is not None:  # moved and mirrored with the image
            images = torch.cat([images, self.inside[rows]], 1)
        if self.plan.augment:
            images = augment(images, self.rng, self.settings.flip_vertical)
        images = images.to(self.device)
        places = None
        if self.inside is not None:
            places = images[:, 1:], self.known[rows].to(self.device)
        pixels = images[:, :1].contiguous(memory_format=torch.channels_last)
        return self.learn(pixels, self.labels[rows].to(self.device), places)

    def learn(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        places: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> np.ndarray:
        """One step on images (n, 1, S, S) and labels (n,) that lie on the device.

        places: for `place_loss`, where the network is trained with boxes.
        """
        with mixed_precision(self.device, self.settings.precision):
            found = self.stepper(images)
        logits = log_odds(found if self.inside is None else found[0])
        loss = total = nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)
        if places is not None:
            total = loss + self.settings.boxes * place_loss(found[1], *places)
        self.optimizer.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.trained.parameters(), self.settings.clip)
        if not torch.isfinite(total) or not torch.isfinite(norm):
            raise FloatingPointError(
                f"Loss {total.item()} or gradient {norm.item()} is not finite in epoch "
                f"{self.epoch + 1}: lower the learning rate ({self.settings.learning_rate})"
            )
        self.optimizer.step()
        wrong = ((logits.detach() > 0) != (labels > 0)).sum()
        n = len(labels)
        return np.array([loss.item() * n, wrong.item(), norm.item() * n, n])

    def to_watch(self, row: dict) -> bool:
        """Whether the watched part is asked after this epoch.

        Validation always; the test set, which stops nothing before the end, in every fifth epoch
        and where a draw may end.
        """
        done = self.epoch + 1
        if self.plan.stop is Until.VALIDATION or done % SELDOM == 0 or done >= self.cycle[1]:
            return True
        return self.plan.stop is Until.TRAIN_ERROR and self.on_target(row)

    def on_target(self, row: dict) -> bool:
        """Whether the training error is as low as the paper's first and second run ask."""
        return bool(row["train_error"] <= self.settings.target_error)

    def watch(self) -> dict:
        """Loss and accuracy on the watched part; none where the test set is to stay unseen."""
        part = WATCHED.get(self.plan.stop, "test")
        rows = np.flatnonzero(self.split == part)
        if len(rows) == 0:
            return {}
        logits, labels = predict(self.network, self.images, rows), self.labels[rows]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels).item()
        accuracy = ((logits > 0) == (labels > 0)).double().mean().item()
        return {"watched": part, "watched_loss": loss, "watched_accuracy": accuracy}

    def keep(self, row: dict) -> None:
        """Keep the weights: of the lowest validation loss where one is watched, else of the last
        epoch. The test set never chooses among epochs.
        """
        score = len(self.history)
        if self.plan.stop is Until.VALIDATION:
            score = -row["watched_loss"]
        if score > self.kept["score"]:
            self.kept = {"score": score, "draw": self.draw, "epoch": self.epoch}
            self.best = copy.deepcopy(self.network.state_dict())

    def reason_to_stop(self, row: dict) -> Ended | None:
        """Why this draw ends after this epoch; None while it goes on."""
        settings, stop = self.settings, self.plan.stop
        if stop is Until.TRAIN_ERROR and self.on_target(row):
            return Ended.TARGET
        if stop is Until.VALIDATION:
            waited = self.epoch - max(self.kept["epoch"], self.cycle[0])
            if waited >= settings.patience * self.planned:
                return Ended.NO_BETTER
        if self.epoch < self.cycle[1]:
            return None
        if stop is Until.TEST_ACCURACY and row["watched_accuracy"] >= settings.target_accuracy:
            return Ended.TARGET
        more = not self.plan.compared and self.extended < settings.extensions
        if more and self.underfits and self.still_falling:
            self.extended += 1
            self.cycle = [self.epoch, self.epoch + max(1, self.planned // 2)]
            return None
        return Ended.BUDGET if stop in (Until.TRAIN_ERROR, Until.TEST_ACCURACY) else Ended.PLANNED

    @property
    def underfits(self) -> bool:
        """Whether the training error of the last epoch is still far from the target."""
        return bool(self.history[-1]["train_error"] > FAR * self.settings.target_error)

    @property
    def still_falling(self) -> bool:
        """Whether the loss that the training may look at falls: on validation, else training."""
        column = "watched_loss" if self.plan.stop is Until.VALIDATION else "train_loss"
        losses = [row[column] for row in self.history if row["draw"] == self.draw]
        some = max(1, self.planned // RECENT)
        if len(losses) < 2 * some:
            return False
        return bool(np.mean(losses[-some:]) < FALLING * np.mean(losses[-2 * some : -some]))

    def agree_on(self, row: dict[str, Any]) -> dict[str, Any]:
        """Process 0's numbers, so that all processes stop together."""
        box = [row]
        if self.world > 1:
            distributed.broadcast_object_list(box)
        return box[0]

    def sum_over_processes(self, totals: np.ndarray) -> np.ndarray:
        """Sums over all processes of an array of sums."""
        if self.world == 1:
            return totals
        together = torch.tensor(totals, dtype=torch.float32, device=self.device)
        distributed.all_reduce(together)
        return together.double().cpu().numpy()

    def checkpoint(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """(tensors, facts): all that `resume` needs."""
        tensors = {f"model.{k}": v for k, v in self.trained.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in (self.best or {}).items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{k}": v for k, v in values.items()}
        return tensors, {name: getattr(self, name) for name in FACTS} | {"ended": self.ended}

    def resume(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        """Go on from what `checkpoint` returned."""
        self.begin_draw(facts["draw"])
        for name in FACTS:
            setattr(self, name, facts[name])
        self.ended = Ended(facts["ended"]) if facts["ended"] else None
        parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
        for name, value in tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = value
        self.trained.load_state_dict(parts["model"])
        best = {k: v.to(self.device) for k, v in parts["best"].items()}
        self.best = best or None
        state = self.optimizer.state_dict()
        for name, value in parts["optimizer"].items():
            number, key = name.split(".", 1)
            state["state"].setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict(state)

    def predictions(self) -> pd.DataFrame:
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
def predict(
    network: nn.Module,
    images: torch.Tensor,
    rows: np.ndarray | torch.Tensor | None = None,
    batch: int = 64,
) -> torch.Tensor:
    """Logits (n,), on the CPU, of images (N, 1, S, S) at `rows` (default all), without dropout.

    Of a network with two logits their difference: log-odds of the finding.
    """
    network.eval()
    like = next(network.parameters())
    rows = torch.arange(len(images)) if rows is None else torch.as_tensor(rows)
    with folded(network, []):
        parts = [
            log_odds(
                network(images[part].to(like.device).contiguous(memory_format=torch.channels_last))
            ).cpu()
            for part in rows.split(batch)
        ]
    return torch.cat(parts) if parts else torch.zeros(0)
