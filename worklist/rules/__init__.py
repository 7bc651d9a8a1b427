"""Rules as pure functions over facts and configuration data. The clock is an argument; nothing here has a session."""
