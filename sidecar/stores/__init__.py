"""Where answers are kept for bad days."""
