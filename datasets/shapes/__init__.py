"""Endless images of shapes: the task, the scenes it draws, and the outlines of the shapes."""
