"""Studies and plugins with mistakes in them, each decided by one seed."""

import copy
import datetime
import math
import random
import string
from pathlib import Path

import tomli_w

from deepboot.bootstrap.study.schema import (
    Change,
    Data,
    Evaluation,
    Keep,
    Schedule,
    Start,
    Stop,
    Streams,
    Study,
    Training,
)
from deepboot.runners.shipped import shipped
from tests.bootstrap.conftest import parity

PLUGIN = '''
"""One of each kind."""
from dataclasses import dataclass
import torch
from torch import nn
from pydantic import PositiveFloat, PositiveInt
from deepboot.bootstrap import streams
from deepboot.bootstrap.optimizers import Optimizer
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples, Task, Vector
from {helper} import half
from deepboot.runners import study_files
from deepboot.runners.shipped import shipped

@register("task", "{prefix}_task")
@dataclass(frozen=True, kw_only=True)
class Majority(Task):
    """Whether most bits are one."""
    num_bits: PositiveInt = 9
    version = 2
    @property
    def inputs(self):
        return Vector(self.num_bits)
    @property
    def classes(self):
        return 2
    def sample(self, key_E2, index):
        bits = streams.bits(key_E2, index, self.num_bits)
        return Samples(bits.float(), (bits.sum(-1) > half(self.num_bits)).long())

@register("model", "{prefix}_model")
class Linear(nn.Module):
    """One layer."""
    def __init__(self, inputs, classes, *, width: PositiveInt = 4):
        super().__init__()
        self.inner = nn.Linear(inputs.size, width)
        self.outer = nn.Linear(width, classes)
    def forward(self, x):
        return self.outer(torch.relu(self.inner(x)))

@register("optimizer", "{prefix}_optimizer")
@dataclass(frozen=True, kw_only=True)
class Sign(Optimizer):
    """Signs of gradients."""
    lr: PositiveFloat = 0.01
    @staticmethod
    def update(param_EP, grad_EP, slots, at):
        param_EP.addcmul_(grad_EP.sign_(), at["lr"], value=-1)

@register("loss", "{prefix}_loss")
def brier(logits_EBV, label_EB, *, power: PositiveFloat = 2.0):
    """Distance of probabilities."""
    target = nn.functional.one_hot(label_EB, logits_EBV.shape[-1])
    return (logits_EBV.softmax(-1) - target).abs().pow(power).mean(-1)

@register("rule", "{prefix}_rule")
def backwards(draws, *, skip: int = 0):
    """The pool."""
    return draws.pool_index()
'''
HELPER = "def half(number):\n    return number / 2\n"
NONSENSE = [
    "1 / 0", "raise RuntimeError('no')", "import no_such_module", "return None", "raise SystemExit(3)", "x = (",
    "raise ValueError('a\\nb')", "return 'text'", "width: Nothing", "    bad indent", "raise StopIteration",
]  # fmt: skip

ADDITION = {"name": "binary_operations", "operation": "x+y", "modulus": 7}
LONG = {"training__max_steps": 40}
STUDIES = [
    parity(),
    parity(task=ADDITION, data={"test_set": "rest"},
           model={"name": "transformer", "width": 8, "heads": 2, "layers": 1}),
    parity(task=ADDITION, data={"split": "orbits"}, training={"train_fraction": [0.2, 0.4], "batch_size": 4,
                                                              "max_steps": 6, "seeds": [1, 2]}),
    parity(task={"name": "permutations", "degree": 3}, data={}, training__world={"rule": "fresh", "share": 0.1}),
    parity(sweep={"optimizer.lr": [0.1, 0.2], "model.width": [4, 8]},
           claims=[{"kind": "grokking_delay", "min_ratio": 2.0, "where": {"optimizer.lr": 0.1}}]),
    parity(**LONG, stop={"metric": "test_loss", "at_most": 0.7}, schedule={"shape": "cosine", "warmup_steps": 3}),
    parity(**LONG, phases=[{"at_step": 20, "set": {"training.train_size": 12, "optimizer.weight_decay": 0.1}},
                           {"at_step": 30, "set": {"training.world": {"rule": "redraw", "share": 0.5}}}]),
    parity(task={"name": "gaussian", "dimensions": 6, "spikes": 2}, data={}, loss={"name": "mse"},
           optimizer={"name": "sgd", "lr": 0.1}, scale={"full": {"training.seeds": 3, 'sweep."model.width"': [4, 8]}}),
    parity(task={"name": "shapes", "size": 16}, model={"name": "cnn", "width": 2},
           data={"augmentation": "crop_flip", "test_samples": 16}, training__precision="bf16"),
    parity(start={"folder": "nowhere", "world": "ideal", "where": {"task": "sparse_parity"}, "step": 3}),
]  # fmt: skip
SCHEMAS = (Study, Training, Data, Evaluation, Schedule, Stop, Start, Change, Keep, Streams)
KEYS = sorted({key for schema in SCHEMAS for key in schema.model_fields} | {"name", "rule", "kind", "lr", "width"})
VALUES = [
    -1, 0, 1, 2, 3, 7, 60, 10**6, 10**9, 10**12, 2**53, 2**53 + 1, 10**30, True, False, 0.0, -0.5, 0.5, 0.99, 1.0, 2.5,
    1e-320, 1e30, 1e308, math.nan, math.inf, -math.inf, "", " ", "real", "ideal", "full", "log", "rest", "mse", "sgd",
    "heldout", "float64", "cosine", "x" * 5_000, "a\0b", "~nobody-of-that-name/x", "..", "é", "a.b", "`", "\n",
    datetime.date(2026, 7, 1), datetime.datetime(2026, 7, 1, 12), datetime.time(12), [], {}, [[]], [0], [3, 3],
    [1, "x"], {"a": 1}, {"name": "adam"}, {"rule": "switch", "at_step": 3}, [{}], list(range(300)),
    {"name": {"name": "mlp"}},
]  # fmt: skip
DOTTED = [
    "optimizer.lr", "model.width", "training.seeds", "training.train_size", "training.max_steps", "data.label_noise",
    "training.world", "task", "model", "loss.name", "data.test_set", "evaluation.streak", "optimizer", "plugins",
    "keep", "optimizer.lr.x", 'a".b', '"a"', "..", "", "sweep", "phases", 'sweep."model.width"', "start.step",
    "stop.at_most",
]  # fmt: skip
CLAIMS = [
    {"kind": "grokking_delay", "min_ratio": 2.0}, {"kind": "rate", "event": "grokking", "min_rate": 0.5}, {"kind": "x"},
    {"kind": "equivalent", "margin": 0.1, "at": "end"}, {"kind": "final_error", "max": 0.1, "world": "ideal"}, {}, 3,
]  # fmt: skip


class Mutant:
    """A study file in a folder, perhaps with plugins, and the options of a command that reads it."""

    def __init__(self, folder: Path, seed: int):
        self.dice, self.folder = random.Random(seed), folder
        self.options: list[str] = []
        self.path = folder / f"{seed}.toml"
        raw = copy.deepcopy(self.dice.choice(STUDIES))
        if self.dice.random() < 0.4:
            self._add_plugin(raw, f"mutant{seed}")
        for _ in range(self.dice.choice([0, 1, 1, 1, 2, 3])):
            self._change(raw)
        text = tomli_w.dumps(raw)
        if self.dice.random() < 0.05:
            text = self.dice.choice(list(shipped().values())).read_text(encoding="utf-8")
        if self.dice.random() < 0.15:
            text = self._damaged(text)
        self.path.write_text(text, encoding="utf-8")
        if self.dice.random() < 0.1:
            self.options += ["--scale", self.dice.choice(["full", "quick", "fulll", "", "x" * 5_000])]
        if self.dice.random() < 0.2:
            name = self.dice.choice(DOTTED)
            value = self.dice.choice(["3", "[1, 2]", "x", "{a = 1}", "[", "", "1e400", "9" * 5_000, "[" * 5_000, "nan"])
            self.options += ["--set", self.dice.choice([f"{name}={value}", f"{name} = {value}", name])]

    def _add_plugin(self, raw, prefix):
        """Name a plugin in the study, and let it use what this registers; perhaps with a mistake in it."""
        helper = f"{prefix}_helper"
        texts = {f"{prefix}.py": PLUGIN.format(prefix=prefix, helper=helper), f"{helper}.py": HELPER}
        if self.dice.random() < 0.6:
            name = self.dice.choice([f"{prefix}.py", f"{prefix}.py", f"{helper}.py"])
            texts[name] = self._broken(texts[name])
        for name, text in texts.items():
            (self.folder / name).write_text(text)
        raw["plugins"] = [self.dice.choice([f"{prefix}.py"] * 9 + ["none.py"])]
        for kind in self.dice.sample(["task", "model", "optimizer", "loss", "rule"], self.dice.randint(0, 5)):
            if kind == "rule":
                raw["training"]["world"] = {"rule": f"{prefix}_rule"}
            else:
                raw[kind] = {"name": f"{prefix}_{kind}"}
                raw["data"] = {"test_samples": 16} if kind == "task" else raw["data"]

    def _broken(self, text):
        """A Python file with one line left out, misspelt, or followed by nonsense."""
        lines = text.split("\n")
        place = self.dice.randrange(len(lines))
        indent = " " * (len(lines[place]) - len(lines[place].lstrip()) + 4 * lines[place].endswith(":"))
        match self.dice.randrange(3):
            case 0:
                del lines[place]
            case 1:
                lines[place] = self._misspelt(lines[place])
            case 2:
                lines.insert(place + 1, indent + self.dice.choice(NONSENSE))
        return "\n".join(lines)

    def _misspelt(self, word):
        """A word with a letter left out, doubled or another."""
        if not word:
            return "x"
        place = self.dice.randrange(len(word))
        return word[:place] + self.dice.choice(["", 2 * word[place], "e"]) + word[place + 1 :]

    def _damaged(self, text):
        """A text with some characters replaced, or cut off."""
        place = self.dice.randrange(len(text))
        other = self.dice.choice(["", '"', "[", "]", "=", "\n", "#", "\0", "é", "{", "'", "9" * 5_000, "[" * 5_000])
        return text[:place] + other + self.dice.choice([text[place + 1 :], text[place:], ""])

    def _change(self, raw):
        """One mistake, or a change that is none."""
        value = copy.deepcopy(self.dice.choice(VALUES))
        match self.dice.randrange(8):
            case 0 | 1 | 2:
                table, key = self._somewhere(raw)
                table[key] = value
            case 3:
                table, key = self._somewhere(raw)
                del table[key]
            case 4:
                table, key = self._somewhere(raw)
                if isinstance(table, dict):
                    table[self._misspelt(key)] = table.pop(key)
            case 5:
                table, _ = self._somewhere(raw)
                name = self.dice.choice(KEYS) if self.dice.random() < 0.8 else self.dice.choice(string.printable)
                if isinstance(table, dict):
                    table[name] = value
            case 6:
                values = self.dice.choices(VALUES, k=self.dice.choice([0, 1, 2, 3]))
                raw["sweep"] = {self.dice.choice(DOTTED): self.dice.choice([values, value])}
            case 7:
                name, added = self.dice.choice([
                    ("phases", [{"at_step": self.dice.choice([2, 3, 90]), "set": {self.dice.choice(DOTTED): value}}]),
                    ("stop", {"at_most": value}), ("start", {"folder": value}), ("claims", [self.dice.choice(CLAIMS)]),
                    ("scale", {"full": value}), ("keep", {"weights": value}), ("plugins", [value]),
                ])  # fmt: skip
                raw[name] = added

    def _somewhere(self, raw):
        """A table or list, and a key or index in it, anywhere in the study."""
        return self.dice.choice([(table, key) for table in _tables(raw) for key in _keys(table)])


def _keys(table):
    """The keys of a table, or the indices of a list."""
    return table if isinstance(table, dict) else range(len(table))


def _tables(value):
    """All tables and lists inside a value, itself included."""
    if isinstance(value, dict | list):
        yield value
        for inner in list(value.values()) if isinstance(value, dict) else value:
            yield from _tables(inner)
