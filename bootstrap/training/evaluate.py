"""Metrics of a pack at an evaluation, on its pools, its test sets and the batches since the last one.

Shapes: E members, B labels, V classes.
"""

import math
from typing import Any

import torch
from torch import Tensor

from deepboot.bootstrap import metrics
from deepboot.bootstrap.columns import CLEAN_COLUMN
from deepboot.bootstrap.samples.source import LabelledBatch
from deepboot.bootstrap.training.pack import Pack

SAMPLES = 64, 1 << 10  # fewest and most of each member evaluated at a time
NUMBERS = {"cpu": 1 << 18, "cuda": 1 << 24}  # of their inputs, whatever the pack: sums then do not depend on it

CLEAN = CLEAN_COLUMN.removeprefix("train_")


class Evaluator:
    """Evaluates a pack on the same samples every time.

    Attributes:
        test: every member's test samples.
        pools: for each group of members that have pools, the samples of these that are evaluated, and how many of them
            are each member's own.
        block: samples of each member computed at once.
    """

    def __init__(self, pack: Pack):
        self.pack = pack
        self.test = pack.source.test()
        most = pack.runs[0].evaluation.train_samples
        samples = ((group.range, pack.data.train_sample(group, most)) for group in pack.data.groups)
        self.pools = [(members, *sample) for members, sample in samples if sample is not None]
        settings = [run.data for run in pack.runs]
        self._true = [not (d.label_noise or d.swapped_answers) and d.labels == "true" for d in settings]
        samples_at_once = NUMBERS[pack.device.type] // math.prod(self.test.x.shape[2:])
        self.block = 1 << min(max(samples_at_once, SAMPLES[0]), SAMPLES[1]).bit_length() - 1
        self._names = ["loss", "error", "soft_error", *([] if all(self._true) else [CLEAN])]

    @torch.no_grad()
    def rows(self) -> list[dict[str, Any]]:
        """One row per member of the table ``evaluations``, without what names the run."""
        pack = self.pack
        pack.flush_online_sums()
        everyone = slice(0, len(pack.runs))
        columns = {f"test_{name}": mean_E for name, mean_E in self._means(self.test, everyone, None).items()}
        columns.pop(f"test_{CLEAN}", None)
        for name in self._names:
            columns[f"train_{name}"] = torch.full_like(columns["test_loss"], torch.nan)
        for members, samples, counts in self.pools:
            for name, mean_M in self._means(samples, members, counts).items():
                columns[f"train_{name}"][members] = mean_M
        if CLEAN in self._names:
            columns[CLEAN_COLUMN][self._true] = torch.nan
        loss_E, error_E, batches_E = pack.members.sums_3E
        columns |= {"online_loss": loss_E / batches_E, "online_error": error_E / batches_E}
        columns["weight_norm"] = pack.param_EP.double().square().sum(1).sqrt()
        table = torch.stack(list(columns.values())).tolist()  # the one place where a device is waited for
        return [
            {"step": pack.step, **{name: column[member] for name, column in zip(columns, table, strict=True)}}
            for member in range(len(pack))
        ]

    def _means(self, samples: LabelledBatch, members: slice, counts: list[int] | None) -> dict[str, Tensor]:
        """Mean metrics of some members over their samples, or over the first ``counts`` of them, float64, (E,)."""
        weight_EB = self._weights(samples, counts)
        reading = self.pack.member_step.reading
        means: dict[str, Tensor] = {}
        for x, y, clean, weight in zip(*(part.split(self.block, 1) for part in (*samples, weight_EB)), strict=True):
            label_EB = y.flatten(1)
            logits_EBV = self.pack.logits(members, x)
            values = {
                "loss": self.pack.member_step.loss(logits_EBV, label_EB),
                "error": metrics.errors(logits_EBV, label_EB, reading),
                "soft_error": metrics.soft_error(logits_EBV, label_EB, reading),
            }
            if CLEAN in self._names:
                values[CLEAN] = metrics.errors(logits_EBV, clean.flatten(1), reading)
            for name, value_EB in values.items():
                sample_EB = value_EB.double().unflatten(1, (weight.shape[1], -1)).mean(-1)
                means[name] = means.get(name, torch.zeros_like(weight[:, 0])) + (sample_EB * weight).sum(1)
        return means

    def _weights(self, samples: LabelledBatch, counts: list[int] | None) -> Tensor:
        """Weight of each sample in its member's mean, float64, (E, B); 0 for all that is not of the member's pool."""
        members, most = samples.y.shape[:2]
        count_E1 = torch.tensor(counts or [most] * members, device=self.pack.device)[:, None]
        own_EB = torch.arange(most, device=self.pack.device) < count_E1
        return own_EB / count_E1.double()
