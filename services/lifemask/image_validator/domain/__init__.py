"""What a photo must be, and what a set of photos must be. Pure."""
