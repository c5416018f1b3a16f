"""Claims: the kinds there are, how they are judged, and what a verdict rests on."""
