"""The rules of the diagnosis, by what they look at; `registry` lists them in the order in which they are evaluated."""
