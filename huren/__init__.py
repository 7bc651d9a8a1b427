"""The top floor: settings, wiring and the command line. The only place that builds and connects things."""
