"""Tests of the ground floor without any database."""
