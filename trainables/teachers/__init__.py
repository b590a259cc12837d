"""The four teachers' self-supervised tasks by name. A new one is a new file and a line here."""
