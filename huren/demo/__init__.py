"""The demo county: invented places and people, phantoms for patients, and a player that does everybody's work.

Nothing here is used by the server. The townships talk to its doors as any township does.
"""
