"""Claims: their kinds, how they are judged, and the evidence of a verdict."""
