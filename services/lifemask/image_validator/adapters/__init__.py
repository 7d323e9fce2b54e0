"""What judging needs, by the outside thing that gives it."""
