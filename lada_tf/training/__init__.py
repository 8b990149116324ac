"""Training: run folders, checkpoints, callbacks, and the authors' checkpoints."""
