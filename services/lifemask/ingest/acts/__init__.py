"""What a call of the API does, told as load, decide, keep; free of any web framework."""
