"""The doors: DIMSE, MLLP, the object store and outbound senders. Sockets and files, nothing else.

May import `interfaces` and `worklist`, never `reading_room` or `huren`.
"""
