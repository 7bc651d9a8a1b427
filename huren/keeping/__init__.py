"""Keeping what was entrusted to us when the machine is lost: backup, restore, reconciliation, and the full export."""
