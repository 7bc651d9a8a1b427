"""The people's floor, without sockets and files."""
