"""Fetching the indexes of build caches: addresses, servers, what is kept where."""
