"""The kinds of claim that ship; importing the package makes them known by name."""

from deepboot.reports.claims.kinds import agreement, equivalence, errors, groups, timing, trends

__all__ = ["agreement", "equivalence", "errors", "groups", "timing", "trends"]
