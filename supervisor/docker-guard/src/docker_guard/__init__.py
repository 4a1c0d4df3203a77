"""The gate to the Docker API: the only holder of Docker's socket, with an allow-list by method, path, query and body.

A request goes through listener (connections) -> wire, target, rules (is it on the list at all) -> gate (is it about
this project, does a body equal what runs already) -> daemon (written anew, never copied). See gate.py for the picture.
"""
