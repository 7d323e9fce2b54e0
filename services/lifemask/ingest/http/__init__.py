"""The HTTP surface: routes, authentication, problem details, streams."""
