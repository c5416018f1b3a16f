"""The chance level of an error: what guessing evenly among the labels of a task comes to."""

import pandas as pd

CLASSES = "facts.classes"  # of the task; null, or no column, in tables that are older


def chance_of(runs: pd.DataFrame) -> pd.Series:
    """Chance level of every run's error and soft error, 1 − 1 / classes, by run_id, whatever the labels' shares.

    NaN where labels are real numbers, which no guess hits, and where the number of classes is not known.

    >>> chance_of(pd.DataFrame({"run_id": ["a", "b"], "facts.classes": [4, 1]})).tolist()
    [0.75, nan]
    """
    classes = runs[CLASSES].astype(float) if CLASSES in runs else pd.Series(float("nan"), index=runs.index)
    return (1 - 1 / classes.where(classes > 1)).set_axis(runs["run_id"])


def is_guessed(metric: str) -> bool:
    """Whether a guess among the labels has a value of this metric: of errors and soft errors.

    >>> is_guessed("test_soft_error"), is_guessed("test_loss"), is_guessed("train_clean_error")
    (True, False, False)
    """
    side, _, measure = metric.partition("_")
    return side in ("test", "train", "online") and measure in ("error", "soft_error")
