"""How workers are started. Specs cross the wire as JSON, never as pickles."""
