"""Made-up page collections and measurements."""
