"""Hand the site to others: to a hosting service, as a folder, or as files of data."""
