"""`saddle plugin`: start a package of own components, and check it."""
