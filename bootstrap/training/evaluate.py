"""What is measured at an evaluation: pool, test set and the batches since the last one.

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

ROWS = 64, 1 << 10  # fewest and most samples of each member evaluated at a time
NUMBERS = {"cpu": 1 << 18, "cuda": 1 << 24}  # of their inputs, whatever the pack: sums then do not depend on it

CLEAN = CLEAN_COLUMN.removeprefix("train_")


class Evaluator:
    """Evaluates a pack on the same samples every time."""

    def __init__(self, pack: Pack):
        self.pack = pack
        self.test = pack.source.test()
        most = pack.runs[0].evaluation.train_samples
        samples = ((group.range, pack.batches.train_sample(group, most)) for group in pack.batches.groups)
        self.pools = [(members, *sample) for members, sample in samples if sample is not None]
        settings = [run.data for run in pack.runs]
        self._true = [not (d.label_noise or d.swapped_answers) and d.labels == "true" for d in settings]
        rows = NUMBERS[pack.device.type] // math.prod(self.test.x.shape[2:])
        self._rows = 1 << min(max(rows, ROWS[0]), ROWS[1]).bit_length() - 1
        self._names = ["loss", "error", "soft_error", *([] if all(self._true) else [CLEAN])]

    @torch.no_grad()
    def rows(self) -> list[dict[str, Any]]:
        """One row per member of the table ``evaluations``, without what names the run."""
        pack = self.pack
        pack.program.flush_online_sums()
        for part in pack.parts:
            part.step.stack.module.eval()
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
        loss_E, wrong_E, batches_E = pack.members.sums_3E
        columns |= {"online_loss": loss_E / batches_E, "online_error": wrong_E / batches_E}
        columns["weight_norm"] = pack.param_EP.double().square().sum(1).sqrt()
        for part in pack.parts:
            part.step.stack.module.train()
        table = torch.stack(list(columns.values())).tolist()  # the one place where a device is waited for
        return [
            {"step": pack.step, **{name: column[place] for name, column in zip(columns, table, strict=True)}}
            for place in range(len(pack))
        ]

    def _means(self, samples: LabelledBatch, members: slice, counts: list[int] | None) -> dict[str, Tensor]:
        """Mean metrics of some members over their samples, or over the first ``counts`` of them, float64, (E,)."""
        pack = self.pack
        share_EB, logits = self._shares(samples, counts), pack.model(members)
        sums: dict[str, Tensor] = {}
        for x, y, clean, share in zip(*(part.split(self._rows, 1) for part in (*samples, share_EB)), strict=True):
            label_EB = y.flatten(1)
            logits_EBV = logits(x)
            parts = {
                "loss": pack.member_step.loss(logits_EBV, label_EB),
                "error": metrics.errors(logits_EBV, label_EB),
                "soft_error": metrics.soft_error(logits_EBV, label_EB),
            }
            if CLEAN in self._names:
                parts[CLEAN] = metrics.errors(logits_EBV, clean.flatten(1))
            for name, part_EB in parts.items():
                kept_EB = part_EB.double().unflatten(1, (share.shape[1], -1)).mean(-1)
                sums[name] = sums.get(name, torch.zeros_like(share[:, 0])) + (kept_EB * share).sum(1)
        return sums

    def _shares(self, samples: LabelledBatch, counts: list[int] | None) -> Tensor:
        """What each sample adds to its member's mean, float64, (E, B); nothing beyond the member's own pool."""
        members, most = samples.y.shape[:2]
        count_E1 = torch.tensor(counts or [most] * members, device=self.pack.device)[:, None]
        own_EB = torch.arange(most, device=self.pack.device) < count_E1
        return own_EB / count_E1.double()
