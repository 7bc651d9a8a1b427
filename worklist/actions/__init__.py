"""Actions: what people, devices and jobs do. Each takes a session, an actor or device, facts, and the time.

An action checks permission, moves states and leaves outbox and audit rows, all in the caller's one transaction.
"""
