"""Stories told from end to end, each by its name."""
