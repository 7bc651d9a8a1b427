"""HL7 v2 messages, golden ones and odd ones."""
