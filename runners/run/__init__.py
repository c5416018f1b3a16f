"""Running a study: packs and workers, checkpoints, and the output folder."""
