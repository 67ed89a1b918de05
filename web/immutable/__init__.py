"""Plugins for any Datasette whose databases cannot change; nothing here is of one database."""
