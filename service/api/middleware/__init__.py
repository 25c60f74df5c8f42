"""Layers around every route: authentication, content encoding, HEAD, and a path of a proxy."""
