"""Human review: a page on this machine, decisions in an append-only log, agreement, the reviewed set.

`sampling` picks what is looked at, `server` shows it, `session` is what the page can ask for, `log` and
`decisions` are what was decided, `standing` is what of it still holds, `agreement` compares reviewers,
`applying` makes the reviewed set.
"""
