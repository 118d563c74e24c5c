"""Prometheus and Alertmanager on this machine, with our rules, routing and traffic."""
