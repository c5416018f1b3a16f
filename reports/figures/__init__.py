"""The figures of a report: the cells and runs that they show, their marks and captions."""
