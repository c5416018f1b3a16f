"""How many seeds a study needs, before its first run and from a pilot."""
