"""Makes everything that the packages ship known by name: the one place that knows them all."""

from importlib import import_module

HOMES = (
    "bootstrap.losses",
    "bootstrap.models",
    "bootstrap.optimizers",
    "bootstrap.worlds",
    "datasets",
    "reports.claims.judge",
)


def load() -> None:
    """Import every module that registers names; doing it again changes nothing."""
    for home in HOMES:
        import_module(home)
