"""HL7 version 2 messages (chapters 2, 3, 4 and 7) to facts and back. Nothing is opened here."""
