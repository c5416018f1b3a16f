"""A pack: members stacked along a leading axis, with one step counter and what they are evaluated on.

Shapes: E members, S steps of a block, B samples of a batch, P parameters of one member.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from safetensors.torch import load_file
from torch import Tensor

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.optimizers import Optimizer, hyperparameters
from deepboot.bootstrap.samples.batches import Batches, Block
from deepboot.bootstrap.samples.source import SampleSource
from deepboot.bootstrap.streams import to_device
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.run import KeptWeights, Run
from deepboot.bootstrap.study.schema import own_settings
from deepboot.bootstrap.task import Task
from deepboot.bootstrap.training.backend import Program, StepGroup, program_of
from deepboot.bootstrap.training.step import Members, MemberStep, member_options_of

COEFFICIENT_STEPS = 64  # steps whose coefficients are computed together

# one member's: "parameters" (P,), "buffers.<name>", "slots.<name>" (P,), "step", "online" (3,)
State = dict[str, Tensor]


class Pack:
    """Runs of one shape, stacked.

    Args:
        runs: all but world, pool size, streams' seeds and numeric hyperparameters is equal.
        device: where everything is computed.
        states: where they go on from, all at one step; None: step 0.
        program: how steps are carried out, one of ``program.PROGRAMS``.
        apart: whether members are stepped one after another, each with all of the device, as large models are.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        device: torch.device | str = "cpu",
        states: Sequence[State] | None = None,
        program: Program = "eager",
        apart: bool = False,
    ):
        first = runs[0]
        self.runs, self.device = runs, torch.device(device)
        self.dtype = getattr(torch, first.dtype)
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high" if first.precision == "tf32" else "highest")
            torch.backends.cudnn.allow_tf32 = first.precision == "tf32"
            torch.backends.cudnn.deterministic = True  # else the two worlds' convolutions round differently
        task = build_task(first.task)
        _same_recording(first, task)
        self.source = SampleSource(task, runs, self.device)
        self.batches = Batches(self.source, runs, self.dtype)
        self.apart = apart and len(runs) > 1
        self.member_step = MemberStep(first, task, self.device)
        self.optimizers: list[Optimizer] = [_optimizer(run) for run in runs]
        self.step = 0
        self.members = self._begun() if states is None else self._restored(states)
        self.parts = [StepGroup(None, self.member_step, self.members)]
        if self.apart:
            places = [slice(place, place + 1) for place in range(len(runs))]
            self.parts = [
                StepGroup(place, MemberStep(first, task, self.device), self.members.at(place)) for place in places
            ]
        self.program = program_of(program, self.parts)

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def param_EP(self) -> Tensor:
        """Parameters of all members, (E, P)."""
        return self.members.param_EP

    def model(self, members: slice = slice(None)) -> Callable[[Tensor], Tensor]:
        """What gives the logits of some members, (M, B * answers, V), of their inputs, (M, B, ...).

        It holds until others are asked for or the pack is trained.
        """
        everyone = members.indices(len(self)) == (0, len(self), 1)
        chosen = StepGroup(None, self.member_step, self.members if everyone else self.members.at(members))
        parts = self.parts[members] if self.apart else [chosen]
        for part in parts:
            part.step.stack.bind(part.members.param_EP, part.members.buffers)
        scale_E11 = self.members.member_options.get("output_scale")

        def logits(x: Tensor) -> Tensor:
            pieces = x.split(1) if self.apart else [x]
            found = [part.step.stack(part.step.read(own)) for part, own in zip(parts, pieces, strict=True)]
            logits_MBV = torch.cat(found) if self.apart else found[0]
            return logits_MBV if scale_E11 is None else logits_MBV * scale_E11[members]

        return logits

    def advance(self, block: Block) -> Iterator[int]:
        """Train on a block of data; gives the number of steps each time that some are done."""
        for steps in self.program(block, self.coefficients(self.step, self.step + block.steps)):
            self.step += steps
            yield steps

    def block(self, stop: int) -> Block:
        """Data of the next steps, up to ``stop`` or as many as the program takes at a time."""
        return self.batches.block(
            self.step, self.step + self.program.stride(min(stop - self.step, self.batches.longest))
        )

    def coefficients(self, start: int, stop: int) -> dict[str, Tensor]:
        """The optimizer's coefficients of steps start .. stop - 1, each (S, E, 1), and what noise needs beside them.

        They are computed for whole blocks of steps, so that where a run is cut does not round them differently.
        """
        first = start // COEFFICIENT_STEPS * COEFFICIENT_STEPS
        blocks = [self._coefficients_of_block(begin) for begin in range(first, stop, COEFFICIENT_STEPS)]
        tables = {
            name: torch.cat([block[name] for block in blocks])[start - first : stop - first] for name in blocks[0]
        }
        found = {name: to_device(table_SE.to(self.dtype), self.device)[..., None] for name, table_SE in tables.items()}
        if {"weight_noise", "update_noise"} & set(self.members.member_options):
            found["step"] = torch.arange(start, stop, device=self.device)[:, None, None]
        return found

    def _coefficients_of_block(self, begin: int) -> dict[str, Tensor]:
        """Coefficients of one block of steps, float64, (COEFFICIENT_STEPS, E)."""
        step_S1 = torch.arange(begin + 1, begin + COEFFICIENT_STEPS + 1, dtype=torch.float64)[:, None]
        hyper = hyperparameters(self.optimizers)
        hyper["lr"] = hyper["lr"] * learning_rate_factor(self.runs[0], step_S1)
        noise = {"noise_rate": hyper["lr"]} if "update_noise" in self.members.member_options else {}
        return {**self.member_step.optimizer.coefficients(hyper, step_S1), **noise}

    def states(self) -> list[State]:
        """Every member's state, from which training goes on exactly as it would have."""
        self.program.flush_online_sums()
        return [
            {
                "parameters": self.param_EP[place].clone(),
                "step": torch.tensor(self.step),
                "online": self.members.sums_3E[:, place].clone(),
                **{f"buffers.{name}": buffer[place].clone() for name, buffer in self.members.buffers.items()},
                **{f"slots.{name}": slot[place].clone() for name, slot in self.members.optimizer_state.items()},
            }
            for place in range(len(self))
        ]

    def weights(self, place: int) -> dict[str, Tensor]:
        """One member's parameters and buffers under their names."""
        stack = self.member_step.stack
        pieces = self.param_EP[place].split(stack.sizes)
        parts = zip(stack.names, pieces, stack.shapes, strict=True)
        found = {name: piece.reshape(shape).clone() for name, piece, shape in parts}
        return found | {name: buffer[place].clone() for name, buffer in self.members.buffers.items()}

    def _begun(self) -> Members:
        """All members at step 0."""
        keys = streams.keys([run.stream_seed("init") for run in self.runs], "init", self.device)
        scale_E1 = torch.tensor([[run.model["init_scale"]] for run in self.runs], device=self.device)
        param_EP = self.member_step.stack.initial(keys, scale_E1).to(self.dtype)
        buffers = self.member_step.stack.begin(len(self), self.dtype)
        for place, run in enumerate(self.runs):
            if run.start is not None:
                self._take_over(param_EP[place], {name: buffer[place] for name, buffer in buffers.items()}, run.start)
        sums_3E = torch.zeros(3, len(self), dtype=torch.float64, device=self.device)
        optimizer_state = self.member_step.optimizer.begin(param_EP, self.optimizers)
        return self._members(param_EP, buffers, optimizer_state, sums_3E)

    def _take_over(self, param_P: Tensor, buffers: dict[str, Tensor], source: KeptWeights) -> None:
        """Replace one member's starting parameters and buffers by kept ones.

        Raises:
            ValueError: the file has no such parameter, or one of another shape.
        """
        kept = load_file(source.path)
        stack = self.member_step.stack
        pieces = zip(stack.names, param_P.split(stack.sizes), stack.shapes, strict=True)
        wanted = {name: piece.view(shape) for name, piece, shape in pieces} | buffers
        for name, own in wanted.items():
            if source.layers and not name.startswith(tuple(source.layers)):
                continue
            if name not in kept or kept[name].shape != own.shape:
                found = f"one of shape {tuple(kept[name].shape)}" if name in kept else f"only {', '.join(kept)}"
                raise ValueError(
                    f"`start`: expected {source.path} to hold a parameter {name!r} of shape {tuple(own.shape)}, "
                    f"found {found}. List in start.layers the parameters that both models have."
                )
            own.copy_(kept[name])

    def _restored(self, states: Sequence[State]) -> Members:
        """All members as these states left them; an optimizer's tensor that a state lacks starts as at step 0."""
        self.step = int(states[0]["step"])
        assert all(int(state["step"]) == self.step for state in states), "members of a pack share one step counter"
        param_EP = torch.stack([state["parameters"] for state in states]).to(self.device)
        initial = self.member_step.optimizer.begin(param_EP, self.optimizers)
        if any(f"slots.{name}" not in state for name in initial for state in states):
            initial = self._begun().optimizer_state
        stacked = {
            name: torch.stack([state.get(f"slots.{name}", slot[place]).to(slot) for place, state in enumerate(states)])
            for name, slot in initial.items()
        }
        buffers = {
            name: torch.stack([state[f"buffers.{name}"] for state in states]).to(self.device)
            for name in self.member_step.stack.buffers
        }
        sums_3E = torch.stack([state["online"] for state in states], 1).to(self.device)
        return self._members(param_EP, buffers, stacked, sums_3E)

    def _members(
        self, param_EP: Tensor, buffers: dict[str, Tensor], optimizer_state: dict[str, Tensor], sums_3E: Tensor
    ) -> Members:
        noise_E2 = streams.keys([run.stream_seed("noise") for run in self.runs], "noise", self.device)
        noise_keys = {name: streams.subkeys(noise_E2, name) for name in ("weights", "updates")}
        member_options = member_options_of(self.runs, self.dtype, self.device)
        return Members(
            param_EP, buffers, optimizer_state, sums_3E, torch.empty_like(param_EP), member_options, noise_keys
        )


def learning_rate_factor(run: Run, step_S1: Tensor) -> Tensor:
    """What the schedule multiplies the learning rate by at these updates (1 for the first), (S, 1)."""
    schedule = run.schedule
    warmup = (step_S1 / schedule.warmup_steps).clamp(max=1) if schedule.warmup_steps else torch.ones_like(step_S1)
    done = (step_S1 - 1 - schedule.warmup_steps).clamp(min=0) / max(run.max_steps - schedule.warmup_steps, 1)
    if schedule.shape == "cosine":
        return warmup * (1 + torch.cos(torch.pi * done)) / 2
    return warmup * (1 - done) if schedule.shape == "linear" else warmup


def _same_recording(run: Run, task: Task) -> None:
    """Refuse a recording that was changed since the run was planned: its identity names other data."""
    if run.code.get("data") != getattr(task, "fingerprint", None):
        raise ValueError("the recording of `task` was changed while the study ran. Run the study again.")


def _optimizer(run: Run) -> Optimizer:
    return registry.find("optimizer", run.optimizer["name"]).target(**own_settings(run.optimizer))
