"""Makes everything that the packages ship known by name: the one place that knows them all."""

from importlib import import_module

HOMES = (
    "deepboot.bootstrap.losses",
    "deepboot.bootstrap.models",
    "deepboot.bootstrap.optimizers",
    "deepboot.bootstrap.worlds",
    "deepboot.datasets",
    "deepboot.reports.claims.judge",
)


def load() -> None:
    """Import every module that registers names; doing it again changes nothing."""
    for home in HOMES:
        import_module(home)
