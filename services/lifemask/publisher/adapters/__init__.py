"""What publishing needs, by the outside thing that gives it."""
