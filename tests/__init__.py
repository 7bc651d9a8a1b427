"""How the project shows that it keeps its word; one folder per kind of proof."""
