"""A study and its runs: what its tables may hold, how they are read and checked, and what is to be trained."""
