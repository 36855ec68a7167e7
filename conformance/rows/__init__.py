"""One module per suite: where it comes from, the origin it needs, how its result is read."""
