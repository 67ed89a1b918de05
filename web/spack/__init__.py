"""Plugins for the database of Spack's build cache: its pages, its search, its formats."""
