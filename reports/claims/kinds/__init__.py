"""The kinds of claim that ship; importing the package makes them known by name."""

from deepboot.reports.claims.kinds import agreement, arms, equivalence, errors, timing, trends

__all__ = ["agreement", "arms", "equivalence", "errors", "timing", "trends"]
