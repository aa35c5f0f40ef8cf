"""The stages of the synthesis: each a small typed step with its template as data, records in and out."""
