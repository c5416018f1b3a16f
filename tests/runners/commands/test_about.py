"""What `deepboot show` says about a name: every setting has a line, and every example is one that a study can hold."""

import inspect
import re
import tomllib

import pytest

from deepboot.bootstrap import registry
from deepboot.bootstrap.descriptions import arguments, settings_lines
from deepboot.bootstrap.registry import KINDS, register
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.parse import parse
from deepboot.bootstrap.study.schema import ClaimCommon, ModelScales, ProbeCommon
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.reports.claims.kind import seeds_needed
from deepboot.runners import builtins
from deepboot.runners.commands import show
from deepboot.runners.commands.example import example
from deepboot.runners.commands.settings_table import WIDTHS, values
from tests.bootstrap.conftest import parity

builtins.load()
SHIPPED = [(kind, name) for kind in KINDS for name in registry.names(kind) if registry.find(kind, name).source is None]
FIT = ("optimizer", "loss", "penalty", "transform", "rule", "claim")  # any task and model go with them
WIDTH = 100


def said(*words, changes=(), count=2, out=None):
    """The lines of `deepboot show`."""
    return list(show.lines(words, changes, seed=0, count=count, out=out))


@pytest.mark.parametrize("kind", KINDS)
def test_every_shipped_setting_has_a_line(kind):
    """Of its own, of a base class, or of its type; a line ends as a sentence does."""
    for one, name in SHIPPED:
        if one == kind:
            lines = settings_lines(registry.find(kind, name).target, registry.settings(kind, name))
            assert all(line.endswith((".", "…")) for line in lines.values()), (name, lines)


def test_settings_that_all_of_a_kind_have_have_a_line():
    """As every model's scales."""
    for schema in (ModelScales, ProbeCommon, ClaimCommon):
        assert all(settings_lines(schema, schema).values()), schema


@pytest.mark.parametrize("kind", KINDS)
def test_no_line_names_a_setting_that_does_not_exist(kind):
    """Nor any other argument."""
    for one, name in SHIPPED:
        if one == kind:
            target = registry.find(kind, name).target
            described = arguments(inspect.getdoc(target) or "")
            assert described.keys() <= inspect.signature(target).parameters.keys(), name


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_the_example_is_of_a_study(kind, name):
    """It is TOML that a study takes; with what fits any task and model, it makes runs."""
    raw = tomllib.loads(example(kind, name))
    training = parity()["training"] | {"ideal": name != "ideal"} | raw.pop("training", {})
    study = {**parity(), **raw, "training": training}
    parse(study)
    if kind == "claim":
        assert seeds_needed(name, {key: value for key, value in raw["claims"][0].items() if key != "kind"}) != 0
    elif kind in FIT:
        assert runs_of(study)


@pytest.mark.parametrize(("kind", "name"), [("model", "mlp"), ("claim", "ratio"), ("optimizer", "adamw")])
def test_a_name_is_told_in_100_columns(kind, name):
    """What it is for, every setting in a row of its own, and the example."""
    lines = said(kind, name)
    assert lines[0].startswith(f"{kind} {name}: {registry.find(kind, name).summary[:20]}")
    assert max(len(line) for text in lines for line in text.splitlines()) <= WIDTH
    first = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    assert set(registry.settings(kind, name).model_fields) <= set(first)
    assert example(kind, name).splitlines()[0] in "\n".join(lines)
    assert "``" not in "\n".join(lines)


def test_the_table_has_values_default_and_line():
    """One row, exactly; a required setting says so."""
    (row,) = (line for line in said("optimizer", "sgd") if line.startswith("lr "))
    cells = ("lr", "number, above 0", "0.1")
    padded = [f"{cell:{width}}" for cell, width in zip(cells, WIDTHS, strict=False)]
    assert row == "  ".join([*padded, "learning rate, at its highest where"])
    (row,) = (line for line in said("l1") if line.startswith("strength "))
    assert re.fullmatch(r"strength +number, at least 0 +required +factor of the penalty, which is.*", row)


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        ({"type": "integer", "minimum": 8, "maximum": 1_000}, "whole number, 8 to 1,000"),
        ({"type": "integer", "multipleOf": 4}, "whole number, a multiple of 4"),
        ({"anyOf": [{"type": "boolean"}, {"const": "input", "type": "string"}]}, 'true or false or "input"'),
        ({"type": "object", "additionalProperties": True}, "table"),
        ({"$ref": "#/$defs/Own"}, "table"),
    ],
)
def test_values_in_words(allowed, words):
    """Limits, choices and several types."""
    assert values(allowed) == words


def test_samples_follow_the_settings_of_a_task():
    """By its kind or without; a task that needs data says what to give."""
    assert said("task", "sparse_parity") == said("sparse_parity")
    lines = said("sparse_parity", changes=["num_bits=6"], count=3)
    assert sum("->" in line for line in lines) == 3
    assert lines.index("\nIn a study:\n") < next(index for index, line in enumerate(lines) if "->" in line)
    assert said("recording")[-1] == "Next: deepboot show recording --set path=…   (samples of your data)"


def test_a_study_is_told_as_where_it_is_listed():
    """`deepboot show demo` and `deepboot list studies demo` say the same."""
    assert said("demo") == said("study", "demo")
    assert said("demo")[0].startswith("demo: Does a finite pool")


def test_a_plugins_setting_without_a_line_and_a_default_is_shown():
    """Its line is empty, and the example has a value that it may have."""
    with registry.scratch():

        @register("loss", "test_bare")
        def bare(logits, label, *, width: int, mode: str): ...

        lines = said("loss", "test_bare")
        assert any(re.fullmatch(r"width +whole number +required", line) for line in lines)
        assert tomllib.loads(example("loss", "test_bare"))["loss"] == {"name": "test_bare", "width": 1, "mode": "…"}


def test_a_name_of_two_kinds_is_asked_for():
    """In a sentence that can be copied."""
    with registry.scratch():
        register("model", "l1")(lambda x: x)
        sentence = "'l1' is a model and a penalty. Say which: `deepboot show model l1` or `deepboot show penalty l1`."
        with pytest.raises(StudyError, match=f"^{re.escape(sentence)}$"):
            said("l1")


@pytest.mark.parametrize(
    ("words", "changes", "sentence"),
    [
        (("mpl",), (), "unknown name 'mpl'. Did you mean 'mlp', a model? `deepboot list` has all names."),
        (("qqqq",), (), "unknown name 'qqqq'. `deepboot list` has all names."),
        (("modell", "mlp"), (), "`deepboot show` knows no kind 'modell'. Did you mean 'model'? Known: task, model, "
         "optimizer, loss, penalty, transform, construction, rule, probe, claim, study."),
        ((), (), "[KIND] NAME: expected one or two words, got 0. Write for instance `deepboot show model mlp`."),
        (("mlp",), ("width=3",), "--set and --out: only a task has samples, and 'mlp' is a model. Leave them away."),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_one_sentence(words, changes, sentence):
    """With the nearest name."""
    with pytest.raises(StudyError, match=f"^{re.escape(sentence)}$"):
        said(*words, changes=changes)


def test_a_misspelt_name_of_a_kind_is_answered_with_the_nearest():
    """As where a study names it; the plural is understood, too."""
    with pytest.raises(
        ValueError, match=r"^unknown optimizer 'adamv'. Did you mean 'adam'\? Known: adam, adamw, muon, sgd.$"
    ):
        said("optimizers", "adamv")
