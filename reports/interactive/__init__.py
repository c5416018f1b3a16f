"""Figures that answer to the mouse: the curves of all runs, drawn by Bokeh in one file without a network."""
