"""The people: pages, HTTP API, passwords, previews, signing. Words and layout, nothing else.

May import `gateway`, `interfaces` and `worklist`, never `huren`.
"""
