"""What packing needs, by the outside thing that gives it."""
