"""Names in the tables of an output folder: columns with their types, and statuses."""

RUN_COLUMNS = {
    "run_id": "string",
    "ideal_run_id": "string",
    "cell_id": "string",
    "world": "string",
    "seed": "Int64",
    "task": "string",
    "model": "string",
    "optimizer": "string",
    "train_size": "Int64",
    "train_fraction": "Float64",
    "batch_size": "Int64",
    "max_steps": "Int64",
    "metric": "string",  # "soft_error" or "error": by which the worlds are compared, unless a claim names another
    "status": "string",
    "last_step": "Int64",
    "samples_seen": "Int64",
    "reuse": "Float64",
    "first_reuse_step": "Int64",
    "stopping_low": "Int64",
    "stopping_high": "Int64",
    "memorization_low": "Int64",
    "memorization_high": "Int64",
    "grokking_low": "Int64",
    "grokking_high": "Int64",
    "stable_low": "Int64",  # from which on the test accuracy stays; null in tables older than this column
    "stable_high": "Int64",
    "seconds": "Float64",
}
EVALUATION_COLUMNS = {
    "run_id": "string",
    "step": "Int64",
    "samples_seen": "Int64",
    **dict.fromkeys(
        (
            "train_loss",
            "train_error",
            "train_soft_error",
            "test_loss",
            "test_error",
            "test_soft_error",
            "online_loss",
            "online_error",
            "weight_norm",
        ),
        "float64",
    ),
}
PROBE_COLUMNS = {"run_id": "string", "step": "Int64", "name": "string", "value": "float64"}
CLEAN_COLUMN = "train_clean_error"  # beside train_error where labels are noisy
STATUSES = ("finished", "diverged", "failed", "unfinished")  # unfinished: interrupted, or under way
STOPPED = "facts.stopped"  # of the runs of a study with a stop rule: ended by it


def probe_of(name: str) -> str:
    """The probe that a value is of, by its name in the table.

    >>> probe_of("layer_norms.hidden.0.weight"), probe_of("sharpness")
    ('layer_norms', 'sharpness')
    """
    return name.partition(".")[0]
