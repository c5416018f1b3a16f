"""Measures of runs and pairs: tables in, tables out."""
