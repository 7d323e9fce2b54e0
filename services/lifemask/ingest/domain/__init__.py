"""Values and pure decisions of ingest: no I/O, no clock, no randomness."""
