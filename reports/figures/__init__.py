"""The figures of a report: which cells and runs they show, marks, and captions."""
