"""Deep Bootstrap: identical models trained on a finite sample and on endless fresh samples.

The ideas live here, one per module; nothing in this package imports the other three, and importing
the package itself does not load torch.
"""

import os

if not __name__.startswith("deepboot."):
    raise ModuleNotFoundError(f"`{__name__}` is `deepboot.{__name__}` now. Import it by that name.", name=__name__)

# Without it MKL rounds a product by where in memory its factors begin, so a run of an odd width differs from itself
# in another pack. MKL asks once, at the process's first product, which may be that of a study's check.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
