"""What Huren does in a second, beside its peers in one run: `make bench`. Not part of the tests."""
