"""Makes everything that the packages ship known by name: the one place that knows them all."""

from importlib import import_module

TRAINING = (  # what training needs
    "deepboot.bootstrap.constructions",
    "deepboot.bootstrap.losses",
    "deepboot.bootstrap.models",
    "deepboot.bootstrap.muon",
    "deepboot.bootstrap.optimizers",
    "deepboot.bootstrap.penalties",
    "deepboot.bootstrap.probes",
    "deepboot.bootstrap.transforms",
    "deepboot.bootstrap.worlds",
    "deepboot.datasets",
)
JUDGING = ("deepboot.reports.claims.judge",)  # loads pandas and SciPy


def load(*, claims: bool = True) -> None:
    """Import every module that registers names; doing it again changes nothing.

    Args:
        claims: whether kinds of claim are among them; a worker, which judges nothing, is quicker to start without.
    """
    for home in (*TRAINING, *(JUDGING if claims else ())):
        import_module(home)
