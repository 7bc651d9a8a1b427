"""Tables that people hand in as files (CSV, RFC 4180), to facts. Nothing is opened here."""
