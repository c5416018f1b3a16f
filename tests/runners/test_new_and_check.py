"""First steps: what `deepboot new` writes passes `deepboot check`, which finds what is wrong with other files."""

import re

import pytest
import tomli_w

from deepboot.bootstrap import registry
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.runners import run_study, study_files
from deepboot.runners.commands.check import check, problems
from deepboot.runners.commands.new import write
from tests.bootstrap.conftest import parity

KINDS = ("study", "task", "model", "optimizer", "claim")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Files are written here, and what they register is forgotten."""
    monkeypatch.chdir(tmp_path)
    with registry.scratch():
        yield tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_passes_its_checks(kind, own_folder):
    """File, test beside it and study, without a line to be filled in; each at most 40 lines."""
    lines = write(kind, f"my_{kind}", None)
    suffix = ".toml" if kind == "study" else ".py"
    assert lines[-2] == f"Next: deepboot check my_{kind}{suffix}"
    written = {path.name for path in own_folder.iterdir()}
    assert written == {f"my_{kind}{suffix}", f"test_my_{kind}.py", f"my_{kind}.toml"}
    for path in own_folder.iterdir():
        assert len(path.read_text().splitlines()) <= 40
        assert "NAME" not in path.read_text()
        assert "FILE" not in path.read_text()
        if not path.name.startswith("test_"):
            assert problems(path) == []
    article = "an" if kind == "optimizer" else "a"
    name = "has_no_mistakes" if kind == "study" else f"keeps_the_contracts_of_{article}_{kind}"
    written_tests(own_folder / f"test_my_{kind}.py")[f"test_my_{kind}_{name}"]()


def written_tests(path):
    """What a written test file defines, by name."""
    space = {"__file__": str(path)}
    exec(compile(path.read_text(), path, "exec"), space)
    return space


def test_the_test_of_a_written_study_can_fail(own_folder, tmp_path):
    """It trains the study wherever that lies; a study with a mistake, or one whose runs diverge, does not pass."""
    write("study", "mine", own_folder / "studies" / "own.toml")
    path = own_folder / "studies" / "own.toml"
    assert path.read_text().startswith("# A study: both worlds, some seeds. Next: deepboot run own.toml\n")
    tests = written_tests(path.with_name("test_own.py"))
    tests["test_mine_has_no_mistakes"]()
    tests["test_mine_trains"](tmp_path / "out")
    path.write_text(path.read_text().replace("lr = 3e-3", "lr = 1e30"))
    with pytest.raises(AssertionError):
        tests["test_mine_trains"](tmp_path / "diverged")
    path.write_text(path.read_text().replace("seeds = 4", "seed = 4"))
    with pytest.raises(AssertionError):
        tests["test_mine_has_no_mistakes"]()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_written_study_trains(kind, own_folder):
    """In both worlds, to its last step."""
    write(kind, f"my_{kind}", None)
    results = run_study(f"my_{kind}.toml", "out", workers=1, changes=["training.max_steps=20", "training.seeds=2"])
    assert set(results.runs["status"]) == {"finished"}
    assert len(results.runs) == 4


def test_the_written_study_uses_what_is_written(own_folder):
    """Its runs name the task, and its source is part of their identity."""
    write("task", "my_task", None)
    runs = runs_of(study_files.load(own_folder / "my_task.toml"))
    assert {run.task["name"] for run in runs} == {"my_task"}
    assert "task" in runs[0].code


def test_names_and_files_that_cannot_be_written_are_refused(own_folder):
    """With the full sentences, and nothing is written over."""
    for name in ("my-task", "class"):
        with pytest.raises(StudyError) as refused:
            write("task", name, None)
        sentence = f"NAME: expected letters, digits and underscores such as my_task, got {name!r}. Choose another name."
        assert refused.value.problems == [sentence]
    with pytest.raises(StudyError, match=r"^NAME: there is a model 'mlp' already. Choose another name.$"):
        write("model", "mlp", None)
    (own_folder / "test_mine.py").write_text("mine")
    with pytest.raises(StudyError, match=r"^test_mine.py is there already, and nothing is written over. Choose .*$"):
        write("model", "mine", None)
    with pytest.raises(StudyError, match=r"^test_mine.py is there already, and nothing is written over. Choose .*$"):
        write("study", "mine", None)
    assert [path.name for path in own_folder.iterdir()] == ["test_mine.py"]
    sentence = "--out mine.toml: expected a file that ends in .py, got 'mine.toml'. Rename it."
    with pytest.raises(StudyError, match=f"^{re.escape(sentence)}$"):
        write("model", "mine", own_folder.relative_to(own_folder) / "mine.toml")


OWN_TEST = """    def sample_test(self, key_E2, index):
        return self.sample(key_E2[:1], index[:1])

"""
BROKEN = {
    "def update": ("optimizer", "def updat", "class Own lacks 'update', which every optimizer has. Rename 'updat', if"
                   " that is meant for it, or define it."),
    "param_EP.addcmul_": ("optimizer", "param_EP.addcmul", "expected parameters that change in training, in place"),
    "return 2": ("task", "return 1", "expected labels of dtype torch.float32, got torch.int64. Convert them."),
    "streams.bits(key_E2, index": ("task", "streams.bits(key_E2 * 0, index",
                                   "expected other samples for other keys, got the same."),
    "    def sample(": ("task", OWN_TEST + "    def sample(",
                       "expected test samples of the shapes of training samples, got inputs (1, 64, "),
    "def classes": ("task", "def classe", "class Own lacks 'classes', which every task has. Rename 'classe'"),
    "nn.Linear(width, classes)": ("model", "nn.Linear(width, 3)", "expected logits of shape (1, 2, 2)"),
    "width: int": ("model", "width", "setting 'width' of 'mine' has no type."),
    "interval = t_interval(last, evidence.confidence)":
        ("claim", "interval = Bounds(5.0, 6.0)", "expected an interval that holds its estimate."),
    "n=len(last)": ("claim", "n=len(last), total=1", "expected an n of at most the total, got 2 of 1."),
    'evidence.evaluations.sort_values("step")': ("claim", "evidence.evaluation", "has no attribute 'evaluation'"),
}  # fmt: skip


@pytest.mark.parametrize("right", BROKEN)
def test_what_is_wrong_is_said_with_its_cure(right, own_folder):
    """One thing of each template is spoilt."""
    kind, wrong, sentence = BROKEN[right]
    write(kind, "mine", None)
    path = own_folder / "mine.py"
    assert path.read_text().count(right) == 1
    path.write_text(path.read_text().replace(right, wrong))
    found = problems(path)
    assert any(sentence in one for one in found), found


SIGNATURES = {
    "forward(self, x: Tensor) -> Tensor":
        ("forward(self, x: Tensor, y: Tensor) -> Tensor",
         "Own.forward: expected `forward(self, x)`, got `forward(self, x, y)`. Remove 'y', or give it a default: there "
         "are only inputs."),
    "forward(self, x: Tensor)":
        ("forward(self, x: Tensor, *, mask: Tensor)",
         "Own.forward: expected `forward(self, x)`, got `forward(self, x, *, mask)`. Remove 'mask', or give it a "
         "default: there are only inputs."),
    "def forward(self, x: Tensor) -> Tensor:":
        ("def forward(self) -> Tensor:\n        x = self.hidden.weight",
         "Own.forward: expected `forward(self, x)`, got `forward(self)`. Add 'x'."),
    "def forward":
        ("def forwards",
         "class Own lacks 'forward', which every model has. Rename 'forwards', if that is meant for it, or define it."),
    "inputs: Vector, classes: int, *, width: int = 64):":
        ("inputs: Vector, *, width: int = 64, classes: int = 2):",
         "Own.__init__: expected `__init__(self, inputs, classes, *, ...)`, got `__init__(self, inputs, *, width=64, "
         "classes=2)`. Add 'classes'."),
    "classes: int, *, width: int = 64):":
        ("classes: int, width: int):",
         "Own.__init__: expected `__init__(self, inputs, classes, *, ...)`, got `__init__(self, inputs, classes, "
         "width)`. Put settings such as 'width' behind a `*`, each with its type."),
    "self.hidden = nn.Linear(inputs.size, width)":
        ("self.hidden = nn.Linear(inputs.size, wide)",
         "NameError: name 'wide' is not defined. Mend the model, or give it another task."),
}  # fmt: skip


@pytest.mark.parametrize("right", SIGNATURES)
def test_a_model_that_cannot_be_called_is_one_sentence(right, own_folder):
    """It names the method, how it is called and how it is written; kinds of inputs that are not meant are silent."""
    wrong, sentence = SIGNATURES[right]
    write("model", "mine", None)
    path = own_folder / "mine.py"
    path.write_text(path.read_text().replace(right, wrong))
    assert problems(path) == [f"`model`: {sentence}"]


def test_models_that_take_more_than_they_must_pass(own_folder):
    """Defaults, `*args` and a function that makes a module are no mistakes."""
    (own_folder / "mine.py").write_text(
        "from torch import nn\nfrom deepboot.bootstrap.registry import register\n\n"
        "class Any(nn.Linear):\n    def forward(self, *args, mask=None, **more):\n"
        "        return super().forward(args[0])\n\n"
        "@register('model', 'mine')\ndef mine(inputs, classes, *, bias: bool = True):\n"
        "    return Any(inputs.size, classes, bias)\n\n"
        "@register('model', 'other')\ndef other(inputs):\n    return Any(inputs.size, 2)\n"
    )
    lines, _ = check([own_folder / "mine.py"])
    assert [line.rpartition("mine.py: ")[2] for line in lines] == [
        "model mine: passes",
        "model other: to be mended",
        "  `model`: other: expected `other(inputs, classes, *, ...)`, got `other(inputs)`. Add 'classes'.",
    ]


def test_lines_name_what_passes_and_what_is_slow(own_folder):
    """A torch optimizer passes, and is said to be slow; a file that registers nothing does not."""
    (own_folder / "mine.py").write_text(
        "import torch\nfrom deepboot.bootstrap.registry import register\n\n@register('optimizer', 'mine')\n"
        "def mine(params, *, lr: float = 0.1):\n    return torch.optim.SGD(params, lr=lr)\n"
    )
    (own_folder / "empty.py").write_text("")
    paths = [own_folder.relative_to(own_folder) / name for name in ("mine.py", "empty.py", "none.py")]
    lines, sound = check(paths)
    assert not sound
    note = "one of torch: it steps one member after another, slower than a stacked one"
    assert lines[:3] == [
        f"mine.py: optimizer mine ({note}): passes",
        "empty.py: to be mended",
        "  it registers nothing. Put @register(kind, name) before what a study is to name.",
    ]
    assert lines[3] == "none.py: to be mended"
    assert "does not exist" in lines[4]
    assert check(paths[:1])[1]


def test_an_entry_that_cannot_be_tried_is_not_said_to_pass(own_folder):
    """A setting without a default stands in the way; the line names it."""
    (own_folder / "mine.py").write_text(
        "import torch\nfrom deepboot.bootstrap.registry import register\n\n@register('optimizer', 'mine')\n"
        "def mine(params, *, lr: float):\n    return torch.optim.SGD(params, lr=lr)\n"
    )
    lines, sound = check([own_folder / "mine.py"])
    assert sound
    assert lines[0].endswith(": its settings can be read; not tried, since lr has no default")


def test_what_is_checked_is_forgotten(own_folder):
    """A check registers nothing for good."""
    before = registry.names("model")
    write("model", "mine", None)
    assert problems(own_folder / "mine.py") == []
    assert registry.names("model") == before


def test_penalties_and_constructions_are_tried(own_folder):
    """A penalty without a gradient, and a construction of the wrong shape, are found before a study names them."""
    (own_folder / "mine.py").write_text(
        "import torch\nfrom deepboot.bootstrap.registry import register\n\n@register('penalty', 'mine')\n"
        "def mine(param_EP, *, strength: float = 0.1):\n    return strength * param_EP.abs().sum()\n\n"
        "@register('construction', 'own')\ndef own(task, model, *, gain: float = 1.0):\n"
        "    return {'output.weight': torch.full((5, 5), gain)}\n"
    )
    lines, sound = check([own_folder / "mine.py"])
    assert not sound
    assert [line.split(": ", 1)[1] for line in lines if not line.startswith("  ")] == [
        "penalty mine: to be mended",
        "construction own: to be mended",
    ]


def test_claims_of_a_study_are_checked_against_its_runs(own_folder):
    """A part of a probe that is misspelt, in a claim and in a published number, is seen before anything is trained."""
    metric = {"metric": "probes.layer_norms.hiden.0.weight"}
    raw = parity(
        probes={"layer_norms": {}},
        claims=[{"kind": "final_error", "max": 1.0, **metric}],
        published=[{"quantity": "final_error", "value": 1.0, "source": "A 2020", **metric}],
    )
    (own_folder / "mine.toml").write_text(tomli_w.dumps(raw))
    claim, published = problems(own_folder / "mine.toml")
    said = ".metric`: the probe has no value 'probes.layer_norms.hiden.0.weight'. Did you mean "
    assert claim.startswith(f"`claims[0]{said}'probes.layer_norms.hidden.0.weight'?")
    assert published.startswith(f"`published[0]{said}")


def test_a_stop_rule_that_can_hide_the_event_is_said(study, deepboot):
    """The run is stopped after one evaluation at the threshold, and grokking takes three in a row."""
    stop = {"metric": "test_error", "at_most": 0.9, "streak": 1}
    path = study(stop=stop, training__max_steps=20, evaluation={"threshold": 0.1, "schedule": 1})
    results = run_study(path, path.parent / "out", workers=1)
    stopped = results.runs[results.runs["facts.stopped"].astype(bool)]
    assert len(stopped) == 2
    assert stopped["grokking_high"].isna().any()
    said = deepboot("check", path)
    assert said.returncode == 0
    assert said.stdout.endswith(
        "study of 2 runs: passes, but a run can stop before its grokking is seen, and then counts as one that never "
        "grokked: `stop.streak` is 1, `evaluation.streak` 3. Set stop.streak = 3.\n"
    )
    assert deepboot("check", study(stop=stop | {"streak": 3})).stdout.endswith("study of 2 runs: passes\n")
