"""The wire against everybody else's reading of it: fuzzing, differential tests, and the suites that others wrote."""
