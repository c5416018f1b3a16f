"""The metric of a run: by it the real world stops and the worlds are compared, unless a study says otherwise."""

import pandas as pd
import pytest

from deepboot.bootstrap import results
from deepboot.reports import compare
from deepboot.runners import run_study

PLUGIN = """
from deepboot.bootstrap.losses import compared_by, cross_entropy
from deepboot.bootstrap.registry import register

@register("loss", "{name}")
{mark}
def own(logits_EBV, label_EB):
    "As cross-entropy."
    return cross_entropy(logits_EBV, label_EB)
"""


@pytest.mark.parametrize(
    ("name", "mark", "metric"),
    [("silent", "", "error"), ("outspoken", "@compared_by('soft_error')", "soft_error")],
)
def test_a_plugin_loss_stops_and_is_compared_by_one_metric(name, mark, metric, study, tmp_path, monkeypatch):
    """The error, or what the loss asks for; both are in the table of runs."""
    (tmp_path / f"{name}.py").write_text(PLUGIN.format(name=name, mark=mark))
    done = run_study(study(plugins=[f"{name}.py"], loss={"name": name}), tmp_path / "out", workers=1)
    assert set(done.runs["metric"]) == {metric}
    assert set(done.runs["evaluation.stopping_metric"]) == {f"train_{metric}"}
    assert set(compare(done).bootstrap_error()["metric"]) == {f"test_{metric}"}


@pytest.mark.parametrize(("loss", "metric"), [("cross_entropy", "soft_error"), ("mse", "error"), ("own", "error")])
def test_a_table_without_a_metric_has_one_when_it_is_read(loss, metric, study, tmp_path):
    """Older folders have no such column; only cross-entropy had the soft error then."""
    run_study(study(), tmp_path / "out", workers=1)
    path = tmp_path / "out" / "runs.parquet"
    old = pd.read_parquet(path).drop(columns="metric").assign(**{"loss.name": loss})
    results.write_table(old, path)
    assert set(results.read(tmp_path / "out").runs["metric"]) == {metric}
