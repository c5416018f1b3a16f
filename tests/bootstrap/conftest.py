"""Small studies and tasks for the tests of the core."""


def parity(**changes):
    """A sparse-parity study small enough for a test; keyword arguments replace values by dotted name (a__b)."""
    raw = {
        "question": "Is this a test?",
        "task": {"name": "sparse_parity", "num_bits": 8, "num_relevant": 2},
        "model": {"name": "mlp", "width": 16},
        "optimizer": {"name": "adamw", "lr": 1e-2},
        "data": {"test_samples": 64},
        "training": {"train_size": 24, "batch_size": 8, "max_steps": 6, "seeds": 1},
    }
    for dotted, value in changes.items():
        table, _, key = dotted.partition("__")
        raw[table] = {**raw.get(table, {}), key: value} if key else value
    return raw
