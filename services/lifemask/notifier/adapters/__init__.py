"""The ways to a person and to an app."""
