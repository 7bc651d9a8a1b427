"""The doors, without opening one."""
