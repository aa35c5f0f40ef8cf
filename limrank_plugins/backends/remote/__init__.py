"""What asking a served model takes: which server, what it is sent, what it answers, which errors pass."""
