"""Networks. A new one is a new file here."""
