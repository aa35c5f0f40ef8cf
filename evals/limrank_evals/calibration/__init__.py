"""From scores and judgements to probabilities: fitted on some queries, measured on others."""
