"""From a benchmark's split, a first stage and a reranker to what came out, and the folder it is kept in."""
