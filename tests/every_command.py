"""Importing this imports what every command of `limrank` imports."""

from limrank_plugins.cli import whole_command

whole_command()
