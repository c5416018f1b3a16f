"""Studies as tables, and the problems of faulty ones."""

import numpy as np
import pytest

from deepboot.bootstrap import registry
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.schema import Study
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.runners import builtins
from tests.bootstrap.conftest import parity

builtins.load()
CLAIMS, TASKS, MODELS, RULES = (", ".join(registry.names(kind)) for kind in ("claim", "task", "model", "rule"))
TOP = ", ".join(sorted(Study.model_fields))
ADDITION = {"name": "binary_operations", "operation": "x+y", "modulus": 7}
ADD = {"task": ADDITION, "data": {}}


def problems(raw):
    """All sentences of the refusal of a study."""
    with pytest.raises(StudyError) as caught:
        runs_of(raw)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def runs_and_problems(raw):
    """The runs of a study, or all sentences of its refusal."""
    try:
        return runs_of(raw), []
    except StudyError as error:
        return [], error.problems


def ids(raw):
    """Run identities in order."""
    return [run.run_id for run in runs_of(raw)]


def recording(path, *, labels):
    """A study of six recorded samples."""
    np.savez(path, x=np.arange(60.0).reshape(-1, 2), y=labels)
    return parity(
        task={"name": "recording", "path": str(path)}, data={},
        training={"train_size": 8, "batch_size": 4, "max_steps": 2, "seeds": 1},
    )  # fmt: skip
