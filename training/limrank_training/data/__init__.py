"""From files of rows to token ids: read, checked, fitted to the cutoff, with the prompt of inference."""
