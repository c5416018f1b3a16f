"""Deep Bootstrap: identical models trained on a finite sample and on endless fresh samples.

The ideas live here, one per module; nothing in this package imports the other three, and importing
the package itself does not load torch.
"""

if not __name__.startswith("deepboot."):
    raise ModuleNotFoundError(f"`{__name__}` is `deepboot.{__name__}` now. Import it by that name.", name=__name__)
