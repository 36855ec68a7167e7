"""Real clients, made to look alike, and what each of them is asked to do."""
