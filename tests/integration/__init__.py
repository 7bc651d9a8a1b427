"""Real peers and real databases, one part of Huren at a time."""
