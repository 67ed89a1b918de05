"""What Datasette takes the parts of an address for."""


def is_column_filter(key: str) -> bool:
    """Tell filters from other arguments, as Datasette's table page does."""
    return not key.startswith("_") or "__" in key
