"""Who may use the server, and how much: keys, the file that holds them, quotas. No web import here."""
