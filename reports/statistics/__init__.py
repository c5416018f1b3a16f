"""Statistics: arrays in, numbers out. Each names its source, and its coverage where that was measured."""
