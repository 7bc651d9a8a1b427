"""HL7 v2 over MLLP: the door that takes orders and patient messages, and the sender of reports.

`framer` cuts a stream of bytes into messages, `door` holds the connections, `intake` answers one message,
`sender` carries one message out. Only `intake` knows HL7; the others move bytes.
"""
