"""What can be read: finding the sources, listing them, and reading each kind."""
