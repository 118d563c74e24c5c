"""The Grafana boards as typed data, one module each; `python -m huddle_otel_dashboards.boards` writes their JSON.

Needs the development dependency grafana-foundation-sdk. What is installed ships the written JSON and needs nothing.
"""
