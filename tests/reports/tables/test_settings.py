"""What a page says of settings: swept, chosen, left at their defaults, and different between folders."""

from deepboot.reports import compare
from deepboot.reports.tables import settings
from tests.reports.conftest import synthetic


def names(table):
    """The first column."""
    return [row[0] for row in table.rows]


def test_what_differs_between_folders_is_not_swept():
    """Nor is it chosen: it has a table of its own, the number of seeds included."""
    both = compare([synthetic(3, (750,)), synthetic(4, (900,))])
    assert settings.swept(both).rows == []
    assert names(settings.between_folders(both)) == ["train_size", "seeds"]
    assert {"train_size", "seeds"}.isdisjoint(names(settings.chosen(both)) + names(settings.untouched(both)))


def test_what_one_of_several_folders_sweeps_is_swept():
    """With the values of all."""
    both = compare([synthetic(3, (750, 900)), synthetic(3, (1200,))])
    assert settings.swept(both).rows == [("train_size", "750, 900, 1,200")]
