"""Reports: tables in, figures and verdicts out. Nothing here loads torch.

Figures, page and claims are imported where they are used, so that a notebook's
``from deepboot.reports import compare`` does not wait for matplotlib.
"""

if not __name__.startswith("deepboot."):
    raise ModuleNotFoundError(f"`{__name__}` is `deepboot.{__name__}` now. Import it by that name.", name=__name__)


from deepboot.reports.comparison import Comparison, compare
from deepboot.reports.notebook import load

__all__ = ["Comparison", "compare", "load"]
