"""The long runs of `make soak`: kills by the dozen, then a mixed load, with figures for `docs/reliability.md`."""
