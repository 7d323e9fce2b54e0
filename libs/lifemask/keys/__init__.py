"""The keys of one installation: who may sign what, how keys are made and rotated, and the files they lie in."""
