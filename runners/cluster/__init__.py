"""Training on a Ray cluster: nothing of it is loaded unless `deepboot run` is told ``--engine ray``."""
