"""The ground floor: lifecycle, facts, rules, actions, tables and the only scoped reader.

Nothing here opens a socket or a file, and no wire library is imported.
Floors above (`interfaces`, `gateway`, `reading_room`, `huren`) may import this one; it imports none of them.
"""
