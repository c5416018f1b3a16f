"""Reports: tables in, figures and verdicts out. Nothing here loads torch.

Figures, page and claims are imported where they are used, so that a notebook's
``from reports import compare`` does not wait for matplotlib.
"""

from reports.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
