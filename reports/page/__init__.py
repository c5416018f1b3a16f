"""The report of output folders: one page that opens offline, the same as text, and its figures."""
