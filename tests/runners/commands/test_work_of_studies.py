"""The work of a study is the products that its updates take, counted by hand."""

from deepboot.bootstrap.study.sweep import cells_of
from deepboot.runners import builtins
from deepboot.runners.commands.work_of_studies import hours, operations
from tests.bootstrap.conftest import parity


def test_operations_are_six_for_every_weight_sample_and_step():
    """Of two widths, three seeds and two worlds: each weight and each bias of the network once a sample."""
    builtins.load()
    study = parity(
        task={"name": "sparse_parity", "num_bits": 30, "num_relevant": 3},
        training__batch_size=20,
        training__max_steps=70,
        training__seeds=3,
        sweep={"model.width": [8, 16]},
    )
    weights = sum(30 * width + width + width * 2 + 2 for width in (8, 16))
    assert operations(cells_of(study)) == 6 * weights * 20 * 70 * 3 * 2


def test_hours_are_those_at_the_stated_rate():
    """3.6e17 operations at 1e13 a second are ten hours."""
    assert hours(360_000_000_000_000_000) == "10"
    assert hours(38_000_000_000_000_000) == "1.1"
    assert hours(360_000_000_000_000_000_000) == "10,000"
    assert hours(36_000_000_000_000) == "less than 0.01"
