"""One file of routes per noun: take the request, call one function, answer."""
