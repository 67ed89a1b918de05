"""What Datasette is started with: plugins, templates, static files, settings."""
