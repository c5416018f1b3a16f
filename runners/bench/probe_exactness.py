"""Probes of exactness: bits of a CPU, graphs beside eager steps, and runs that are repeated, resumed and repacked.

Shapes: E members, K numbers of an index, P parameters of one member.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.training.backend_check import disagreement
from deepboot.bootstrap.training.execution import Execution, torch_settings
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.train import train
from deepboot.runners.bench.probe_studies import STUDIES, TINY, Found, Parts, Study, fast_backend, runs_with, sized

FLOAT_TOLERANCE = 2.0**-22  # relative: one unit in the last place of a float32, and what is computed from it
INDICES = (0, 1, 2**31, 2**32 + 7, 2**46, 2**47 - 1)
TASKS = ("associative_recall", "binary_operations", "digits", "gaussian", "greatest_common_divisor", "induction",
         "modular_digits", "multi_digit_addition", "permutations", "plain_addition", "shapes", "single_index",
         "skip_trigram", "sparse_parity", "teacher_student")  # fmt: skip
SAMPLES = {"cuda": 512, "cpu": 8}
CUT, END = 31, 75  # steps after which a run is cut in two, and after which it ends
RULES = (
    {"rule": "real"},
    {"rule": "fresh", "share": 0.1},
    {"rule": "redraw", "share": 0.1},
    {"rule": "sliding", "shift": 3},
    {"rule": "spacing", "times": 2, "gap": 2},
    {"rule": "fresh", "share": 0.3, "whole_batches": True},
    {"rule": "growing", "first": 12, "growth": 3},
)

Tensors = dict[str, Tensor]


def bits(device: str) -> Parts:
    """Whether random numbers, samples and batches of a device are those of the CPU."""
    return {
        "streams": lambda: compared(_numbers("cpu"), _numbers(device)),
        "samples": lambda: compared(_samples("cpu", SAMPLES[device]), _samples(device, SAMPLES[device])),
        "batches": lambda: compared(_batches("cpu"), _batches(device)),
    }


def compared(here: Tensors, there: Tensors) -> Found:
    """Whether two dictionaries hold equal tensors, floats to rounding; the names of those that differ."""
    found = {name: _difference(tensor, there[name].to("cpu")) for name, tensor in here.items()}
    allowed = {name: FLOAT_TOLERANCE if tensor.is_floating_point() else 0.0 for name, tensor in here.items()}
    wrong = [name for name, difference in found.items() if not difference <= allowed[name]]  # NaN is no agreement
    problem = f"not those of the CPU: {', '.join(wrong)}" if wrong else None
    return {"said": f"{len(here)} agree", "problem": problem, "differences": found}


def _difference(here: Tensor, there: Tensor) -> float:
    """The largest relative difference of floats, or the share of all other values that differ."""
    if here.shape != there.shape or here.dtype != there.dtype:
        return float("inf")
    if not here.is_floating_point():
        return float((here != there).double().mean())
    one, other = here.double(), there.double()
    return float(((one - other).abs() / one.abs().clamp(min=torch.finfo(torch.float32).tiny)).max())


def _numbers(device: str) -> Tensors:
    """Numbers of every kind from `streams`."""
    key_E2 = streams.keys(range(5), "data", device)
    index = torch.tensor(INDICES, device=device).expand(5, -1)
    return {
        "words": streams.words(key_E2, index, 33),
        "bits": streams.bits(key_E2, index, 70),
        "integers": streams.integers(key_E2, index, 9, 97),
        "permutation": streams.permutation(key_E2, index, 4_704),
        "uniform": streams.uniform(key_E2, index, 9).mul(2**24).long(),  # 24 bits, so that they are compared exactly
        "normal": streams.normal(key_E2, index, 999),
    }


def _samples(device: str, count: int) -> Tensors:
    """Inputs and labels of every task that needs no download."""
    key_E2, index = streams.keys(range(2), "data", device), torch.arange(count, device=device).expand(2, -1)
    found: Tensors = {}
    for name in TASKS:
        x, y = registry.find("task", name).target().sample(key_E2, index)
        found |= {f"{name} inputs": x, f"{name} labels": y}
    return found


def _batches(device: str) -> Tensors:
    """Training data of both worlds under every rule, with some labels wrong, at the start and later."""
    found: Tensors = {}
    for rule in RULES:
        study = {**TINY, "data": {**TINY["data"], "label_noise": 0.2}}
        pack = Pack(runs_with(study, 4, world=rule), Execution(device=device))
        for start in (0, 40):
            block = pack.data.block(start, start + 8)
            name = f"{' '.join(map(str, rule.values()))} from step {start}"
            found |= {f"{name}, inputs": block.x.clone(), f"{name}, labels": block.y.clone()}
    return found


def graphs(device: str) -> Parts:
    """Whether graphs, and compiled steps in graphs, train as eager steps do, with evaluations between."""
    names = ("graphed", "compiled_graphed") if device == "cuda" else ("eager",)
    executions = [Execution.model_validate({"device": device, "backend": name}) for name in names]
    return {
        f"{study}, {execution.backend}": partial(beside_eager, partial(_runs, study, device), execution)
        for execution in executions
        for study in ("tiny", "addition")
    }


def _runs(study: str, device: str) -> list[Run]:
    chosen: Study = TINY if study == "tiny" else sized(STUDIES[study], device)
    return runs_with(chosen, 6, max_steps=200 if device == "cuda" else 40)


def beside_eager(runs_of_pack: Callable[[], list[Run]], execution: Execution) -> Found:
    """Whether the check of backends passes, and how far the parameters of whole runs are from those of ``eager``."""
    runs = runs_of_pack()
    problem = disagreement(runs, execution)
    plain, fast = train(runs, Execution(device=execution.device)), train(runs, execution)
    far = max(
        float((one.state["parameters"] - two.state["parameters"]).norm() / one.state["parameters"].norm())
        for one, two in zip(plain, fast, strict=True)
    )
    said = f"after {runs[0].max_steps} steps {far:.1g} from eager"
    return {"said": said, "problem": problem, "distance": far, "evaluations": len(plain[0].rows)}


def repeats(device: str) -> Parts:
    """Whether a run is the same bits when it is repeated, resumed from a state, or stepped in another pack."""
    backends = dict.fromkeys(("eager", fast_backend(device)))
    return {
        f"{study}, {backend}": partial(
            repeated, partial(_runs, study, device), Execution(device=device, backend=backend)
        )
        for backend in backends
        for study in ("tiny", "addition")
    }


def repeated(runs_of_pack: Callable[[], list[Run]], execution: Execution) -> Found:
    """Whether parameters are equal bits; that they are in another pack is promised of MLPs on a CPU only."""
    runs = runs_of_pack()
    with torch_settings(runs[0], execution):
        whole_EP, again_EP = _trained(Pack(runs, execution)), _trained(Pack(runs, execution))
        first = Pack(runs, execution)
        train_steps(first, CUT)
        states = [{name: tensor.cpu() for name, tensor in state.items()} for state in first.states()]
        resumed_EP = _trained(Pack(runs, execution, states))
        others_EP = _trained(Pack([run for run in runs if run.seed == runs[0].seed], execution))
    equal = {
        "repeated": torch.equal(whole_EP, again_EP),
        "resumed": torch.equal(whole_EP, resumed_EP),
        "repacked": torch.equal(whole_EP[:1], others_EP[:1]),
    }
    promised = equal if execution.device == "cpu" else {"repeated", "resumed"}
    wrong = [name for name in equal if not equal[name] and name in promised]
    said = ", ".join(f"{name} {'equal' if same else 'other'}" for name, same in equal.items())
    return {"said": said, "problem": f"other bits when {' and '.join(wrong)}" if wrong else None, **equal}


def _trained(pack: Pack) -> Tensor:
    """A pack's parameters after its last step, (E, P)."""
    train_steps(pack, END)
    return pack.param_EP
