"""Probes of a pack at its evaluations.

Shapes: E members, M of a group, K samples of a pool.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.columns import probe_of
from deepboot.bootstrap.models.stacked import Buffers
from deepboot.bootstrap.probes.measured import Measured, PoolSamples, measure
from deepboot.bootstrap.samples.source import LabelledBatch
from deepboot.bootstrap.study.build import run_keys
from deepboot.bootstrap.study.probe_checks import probe_settings
from deepboot.bootstrap.study.run import Run, probe_steps
from deepboot.bootstrap.task import Samples
from deepboot.bootstrap.training.backend import MemberGroup
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.members import initial_weights


class Prober:
    """Measures the probes of a pack's runs on the samples that its evaluations use.

    Members that are stepped together and have one index rule are measured together, on copies of their tensors: no
    probe changes what is trained.

    Args:
        evaluator: of the pack.
        runs: the whole runs, whose phases the pack's are.
    """

    def __init__(self, evaluator: Evaluator, runs: Sequence[Run]):
        self._evaluator, self._pack, self._runs = evaluator, evaluator.pack, runs
        run = runs[0]
        self._steps = probe_steps(run)
        self._settings = {name: probe_settings(settings) for name, settings in run.probes.items()}
        if run.probes:
            pools = {pool[0].start: self._pool(*pool) for pool in evaluator.pools}
            self._parts = [(group.range, pools.get(group.range.start)) for group in self._pack.data.groups]

    @torch.no_grad()
    def values(self, last: Sequence[bool] | None = None) -> list[dict[str, float]]:
        """Every member's values by name; none where no probe is due.

        Args:
            last: whether this is each member's last evaluation, at which all of its probes are due; None: of none.

        Raises:
            ValueError: a probe does not fit the pack, or does not return what a probe returns.
        """
        last = last or [False] * len(self._runs)
        scheduled = {name for name, steps in self._steps.items() if self._pack.step in steps}
        due = [name for name in self._steps if any(last) or name in scheduled]
        if not due:
            return [{} for _ in self._runs]
        parts: list[dict[str, Tensor]] = []
        for members, pool in self._parts:
            for group in self._pack.groups_of(members):
                measured = self._measured(members, group, pool)
                parts.append({})
                for name in due:
                    parts[-1] |= measure(name, self._settings[name], measured)
        names = list(dict.fromkeys(name for part in parts for name in part))
        table = torch.stack([self._column(name, parts) for name in names]).tolist()
        return [
            {name: value for name, value in zip(names, column, strict=True) if is_last or probe_of(name) in scheduled}
            for is_last, column in zip(last, zip(*table, strict=True), strict=True)
        ]

    def _column(self, name: str, parts: list[dict[str, Tensor]]) -> Tensor:
        """One value of all members, (E,)."""
        if any(name not in part for part in parts):
            raise ValueError(
                f"probe {name.partition('.')[0]!r}: expected the same names for all members, but some lack {name!r}. "
                "Return NaN where there is nothing to measure."
            )
        return torch.cat([part[name] for part in parts])

    def _pool(self, members: slice, samples: LabelledBatch, counts: list[int]) -> PoolSamples:
        """A group's samples of its pools."""
        most, home = samples.y.shape[1], self._pack.source.home
        number_MK = torch.arange(most, device=home).expand(len(counts), -1)
        own_MK = number_MK < torch.tensor(counts, device=home)[:, None]
        exchanged_MK = self._pack.source.exchanged(members, number_MK)
        return PoolSamples(*samples, own_MK.to(self._pack.device), exchanged_MK.to(self._pack.device))

    def _measured(self, members: slice, group: MemberGroup, pool: PoolSamples | None) -> Measured:
        """What probes are given of members that are computed together.

        Args:
            members: those of one index rule, with all of their pools.
            group: all of them, or one.
            pool: of all of them.
        """
        own = group.range or members
        inside = slice(own.start - members.start, own.stop - members.start)
        step, runs, device = self._pack.member_step, self._runs[own], self._pack.device

        def forward(param_EP: Tensor, buffers: Buffers, x: Tensor) -> Tensor:
            return step.evaluate_at(param_EP, buffers, group.members, x)

        return Measured(
            step=self._pack.step,
            task=self._pack.source.task,
            stack=step.evaluated_stack,
            param_EP=group.members.param_EP.clone(),
            buffers={name: buffer.clone() for name, buffer in group.members.buffers.items()},
            initial=lambda: initial_weights(runs, step.evaluated_stack),
            forward=forward,
            loss=step.loss,
            test=Samples(self._evaluator.test.x[own], self._evaluator.test.y[own]),
            test_block=self._evaluator.block,
            pool=pool and PoolSamples(*(part[inside] for part in vars(pool).values())),
            key_E2=streams.subkeys(run_keys(runs, "noise", device), "probes"),
        )
