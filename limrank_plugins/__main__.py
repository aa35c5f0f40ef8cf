"""`python -m limrank_plugins` is `limrank`."""

from limrank_plugins.cli import main

main()
