"""From the pages of Spack's build cache website to one SQLite database."""
