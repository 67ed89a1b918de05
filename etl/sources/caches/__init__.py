"""The indexes of build caches: manifests, lists, records."""
